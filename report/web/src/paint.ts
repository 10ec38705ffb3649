// What cells look like: a small picture for each thing that a cell can say, copied pixel by pixel. Each state has a pattern besides
// its colour, and the colours of held, cooling and free differ in lightness by three to one.
import { pixel } from "./theme.ts";
import { State } from "./types.ts";

// Codes are what a cell can say. The lowest bit is set where it is uncertain.
export const Code = {
  state: 0, // + 2 * State
  age: 16, // + 2 * bin
  churn: 32, // + 2 * bin
  share: 48, // + 2 * bin: of a block of addresses, how many are held
  unknownShare: 64, // + 2 * bin: the same, and what the others are is unknown
} as const;
export const codes = 80;
export const bins = 6;

const hatch = 7; // pixels from line to line, times the device's pixel ratio

export class Painter {
  readonly size: number; // of a cell, in device pixels
  readonly gap: number;
  private readonly ratio: number;
  private readonly tiles: (Uint32Array | undefined)[] = [];
  private readonly period: number;
  private readonly bg = pixel("--bg");
  private readonly free = pixel("--free");
  private readonly unsure = pixel("--unsure");
  private readonly unknown = pixel("--unknown");
  private readonly unknownGround = pixel("--unknown-ground");
  private readonly ramp: number[];

  // Cells are parted by gaps where there is room, but not in a legend.
  constructor(size: number, ratio: number, parted = true) {
    this.size = size;
    this.ratio = ratio;
    this.gap = size < 4 || !parted ? 0 : size < 10 * ratio ? Math.max(1, Math.round(ratio / 2)) : Math.round(ratio);
    this.period = Math.max(4, Math.round(hatch * ratio));
    this.ramp = Array.from({ length: bins }, (_, i) => pixel(`--ramp-${i}`));
  }

  get background(): number {
    return this.bg;
  }

  // paint draws one cell with its upper left corner at x, y into a picture that is width pixels wide.
  paint(image: Uint32Array, width: number, x: number, y: number, code: number): void {
    const tile = this.tile(code, code < 2 || code >= Code.unknownShare ? (x + y) % this.period : 0);
    const size = this.size;
    for (let row = 0, from = 0, to = y * width + x; row < size; row++, to += width - size) {
      for (let column = 0; column < size; column++) image[to++] = tile[from++];
    }
  }

  // Lines of hatched cells go on from one to the next, so these have a picture for each place of the pattern.
  private tile(code: number, phase: number): Uint32Array {
    const at = code * this.period + phase;
    return (this.tiles[at] ??= this.draw(code, phase));
  }

  private draw(code: number, phase: number): Uint32Array {
    const size = this.size;
    const made = new Uint32Array(size * size);
    const inner = size - this.gap;
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) made[y * size + x] = this.dot(code, x, y, inner, phase);
    }
    return made;
  }

  private dot(code: number, x: number, y: number, inner: number, phase: number): number {
    const line = (x + y + phase) % this.period < Math.max(1, Math.round(this.ratio * 1.25));
    if (code < Code.age && code >> 1 === State.unknown) return line ? this.unknown : this.unknownGround;
    if (x >= inner || y >= inner) return this.bg;
    const fill = code < Code.age ? this.stateDot(code >> 1, x, y, inner) : this.binDot(code, line);
    if ((code & 1) === 0) return fill;
    // The lower right half of what is uncertain is another thing than the upper left one; a light line parts them where there is room.
    if (inner < 2) return this.unsure;
    const beyond = x + y - (inner - 1);
    if (beyond === 0 && inner >= 6) return this.bg;
    if (beyond <= 0) return fill;
    return code >> 1 === State.cooling ? this.bg : this.unsure;
  }

  private binDot(code: number, line: boolean): number {
    if (code >= Code.unknownShare) return line ? this.unknown : this.ramp[(code - Code.unknownShare) >> 1];
    if (code >= Code.share) return this.ramp[(code - Code.share) >> 1];
    return this.ramp[(code >= Code.churn ? code - Code.churn : code - Code.age) >> 1];
  }

  private stateDot(state: number, x: number, y: number, inner: number): number {
    const middle = (inner - 1) / 2;
    const far = Math.max(Math.abs(x - middle), Math.abs(y - middle));
    switch (state) {
      case State.held:
        return this.colour("--held");
      case State.free:
        return this.free;
      case State.cooling: // drains from above
        return inner >= 6 && y < inner * 0.4 ? this.free : this.colour("--cooling");
      case State.gateway: // a ring
        return inner >= 3 && far < inner * (inner < 6 ? 0.2 : 0.26) ? this.bg : this.colour("--gateway");
      case State.reserved: // upright stripes
        return Math.floor(x / Math.max(1, inner / 5)) % 2 === 0 ? this.colour("--reserved") : this.bg;
      case State.excluded: // a cross
        return inner < 3 || Math.abs(Math.abs(x - middle) - Math.abs(y - middle)) < Math.max(0.8, inner / 8) ? this.colour("--excluded") : this.free;
      default: // not ours: a speck where there is room
        return inner >= 8 && far < Math.max(0.8, inner / 12) ? this.colour("--speck") : this.colour("--not-ours");
    }
  }

  private readonly colours = new Map<string, number>();

  private colour(variable: string): number {
    let found = this.colours.get(variable);
    if (found === undefined) this.colours.set(variable, (found = pixel(variable)));
    return found;
  }
}
