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
  readonly counted: readonly number[]; // codes of the cells that are counted; none for those of many addresses
}

const colours = [
  ["state", "state"],
  ["age", "age: held since"],
  ["churn", "churn: leases so far"],
] as const;

const side = 14; // CSS pixels of a swatch

export function mountLegend(page: Page): Legend {
  const list = element("legend");
  const note = el("li", { class: "soft", hidden: true });
  let counts: { counted: readonly number[]; node: HTMLElement }[] = [];
  let shown = "";
  const paint = (): void => {
    const made = entries(page.selection.colour, shown === "blocks");
    counts = [];
    list.replaceChildren(
      ...made.map((entry) => {
        const node = el("span", { class: "count" });
        if (entry.counted.length > 0) counts.push({ counted: entry.counted, node });
        return el("li", {}, swatch(entry.code), el("span", {}, entry.text), node);
      }),
      note,
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
      note.textContent = noteOf(page.selection.colour, cells);
      note.hidden = note.textContent === "";
      for (const { counted, node } of counts) {
        const text = cells.blocks ? "" : count(counted.reduce((sum, code) => sum + cells.counts[code], 0));
        if (node.textContent !== text) node.textContent = text;
      }
    },
  };
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

// entries are what cells can say. Each cell is counted once as what it is, and once more if that is uncertain.
function entries(colour: Selection["colour"], blocks: boolean): Entry[] {
  const entry = (code: number, text: string): Entry => ({ code, text, counted: code >= Code.share ? [] : [code, code + 1] });
  const ramp = (first: number, texts: readonly string[], skip = 0): Entry[] => texts.map((text, i) => entry(first + 2 * (i + skip), text));
  const first = blocks ? Code.share : colour === "age" ? Code.age : Code.churn;
  const states = [State.held, State.free, State.cooling, State.gateway, State.reserved, State.excluded, State.notOurs].map((state) => entry(2 * state, stateNames[state]));
  const odd = Array.from({ length: Code.share / 2 }, (_, i) => 2 * i + 1).slice(1);
  const last: Entry[] = [{ code: 2 * State.held + 1, text: "uncertain: half a cell", counted: odd }, entry(2 * State.unknown, "unknown, which is not free")];
  if (blocks) last.splice(1, 0, entry(Code.unknownShare + 4, "some held, the rest unknown"));
  if (colour === "age") return [...ramp(first, ageTexts()), ...states.slice(1), ...last];
  if (colour === "churn") {
    const never = states.map((s) => ({ ...s, text: s.code === 2 * State.free ? "free, no lease so far" : s.text }));
    return [...ramp(first, churnTexts()), ...never.slice(1), ...last];
  }
  if (!blocks) return [...states, ...last];
  const shares = ramp(Code.share, ["up to 25 % held", "up to 50 % held", "up to 75 % held", "below 100 % held", "100 % held"], 1);
  return [...shares, ...states.slice(1), ...last];
}

// noteOf says what can't be seen from the samples; "" if all can.
function noteOf(colour: Selection["colour"], cells: Cells): string {
  if (!cells.blocks) return cells.sparse ? "counts are of the addresses drawn: of large ranges only what is in use is" : "";
  if (colour === "age") return "a block of addresses is coloured by the oldest lease that is held in it";
  return colour === "churn" ? "a block of addresses is coloured by the busiest of them" : "";
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
