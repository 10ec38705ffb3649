// The legend: what cells mean, drawn by the same hand as the cells themselves, and how many there are of each.
import { bins } from "./paint.ts";
import { ages, churns, type Cells } from "./cells.ts";
import { el, element } from "./dom.ts";
import { Code, Painter } from "./paint.ts";
import { count } from "./text.ts";
import { State, stateNames, type Page, type Selection } from "./types.ts";

export interface Legend {
  paint(): void;
  count(cells: Cells): void;
}

interface Entry {
  readonly code: number;
  readonly text: string;
  readonly state: number; // whose cells are counted; -1 for none
}

const colours = [
  ["state", "state"],
  ["age", "age: held since"],
  ["churn", "churn: leases so far"],
] as const;

const side = 14; // CSS pixels of a swatch

export function mountLegend(page: Page): Legend {
  const list = element("legend");
  let counts: { state: number; node: HTMLElement }[] = [];
  let shown = "";
  const paint = (): void => {
    const made = entries(page.selection.colour, shown === "blocks");
    counts = [];
    list.replaceChildren(
      ...made.map((entry) => {
        const node = el("span", { class: "count" });
        if (entry.state >= 0) counts.push({ state: entry.state, node });
        return el("li", {}, swatch(entry.code), el("span", {}, entry.text), node);
      }),
    );
  };
  chooser(page, element("colour"));
  page.listen((now, before) => {
    if (now.colour !== before.colour) paint();
  });
  paint();
  return {
    paint,
    count(cells: Cells): void {
      const kind = cells.blocks ? "blocks" : "single";
      if (kind !== shown) {
        shown = kind;
        paint();
      }
      for (const { state, node } of counts) {
        const n = state < 16 ? cells.counts[state] : unsure(cells);
        const text = cells.blocks ? "" : count(n);
        if (node.textContent !== text) node.textContent = text;
      }
    },
  };
}

function unsure(cells: Cells): number {
  let n = 0;
  for (let state = 1; state < 8; state++) n += cells.counts[2 * state + 1];
  return n;
}

function chooser(page: Page, into: HTMLElement): void {
  into.append(el("legend", {}, "Colour by"));
  for (const [value, text] of colours) {
    const input = el("input", { type: "radio", name: "colour", value, id: `colour-${value}` });
    input.checked = page.selection.colour === value;
    input.addEventListener("change", () => page.set({ colour: value }));
    page.listen((now) => (input.checked = now.colour === value));
    into.append(el("label", { for: input.id }, input, text));
  }
}

const uncertain: Entry = { code: 2 * State.held + 1, text: "uncertain: half a cell", state: 16 };
const unknownEntry: Entry = { code: 0, text: "unknown, which is not free", state: 0 };

function entries(colour: Selection["colour"], blocks: boolean): Entry[] {
  const ramp = (first: number, texts: readonly string[], skip = 0): Entry[] => texts.map((text, i) => ({ code: first + 2 * (i + skip), text, state: -1 }));
  const first = blocks ? Code.share : colour === "age" ? Code.age : Code.churn;
  const states = [State.held, State.free, State.cooling, State.gateway, State.reserved, State.excluded, State.notOurs].map((state) => ({
    code: 2 * state,
    text: stateNames[state],
    state: 2 * state,
  }));
  if (colour === "age") return [...ramp(first, ageTexts()), ...states.slice(1), uncertain, unknownEntry];
  if (colour === "churn") return [...ramp(first, churnTexts()), ...states.slice(1), uncertain, unknownEntry];
  if (!blocks) return [...states, uncertain, unknownEntry];
  const shares = ramp(Code.share, ["to 25 % held", "to 50 %", "to 75 %", "below 100 %", "all held"], 1);
  return [...shares, ...states.slice(1), uncertain, { code: Code.unknownShare + 4, text: "some held, the rest unknown", state: -1 }, unknownEntry];
}

function ageTexts(): string[] {
  const words = ["1 min", "10 min", "1 h", "6 h", "1 day"];
  return Array.from({ length: bins }, (_, i) => (i < ages.length ? `to ${words[i]}` : `above ${words[i - 1]}`));
}

function churnTexts(): string[] {
  return Array.from({ length: bins }, (_, i) => {
    if (i === churns.length) return `above ${churns[i - 1]}`;
    const from = i ? churns[i - 1] + 1 : 1;
    return from === churns[i] ? String(from) : `${from} to ${churns[i]}`;
  });
}

function swatch(code: number): HTMLElement {
  const ratio = devicePixelRatio || 1;
  const painter = new Painter(Math.round(side * ratio), ratio, false);
  const size = painter.size;
  const canvas = el("canvas", { width: size, height: size, class: "swatch", "aria-hidden": "true" });
  const image = new ImageData(size, size);
  painter.paint(new Uint32Array(image.data.buffer), size, 0, 0, code);
  canvas.getContext("2d", { alpha: false })!.putImageData(image, 0, 0);
  return canvas;
}
