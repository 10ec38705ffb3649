// Charts over time, drawn as SVG: vectors on paper, and colours that follow the style sheet. They know of bins, not of leases.
import type { Bins } from "./figures.ts";
import { svg } from "./svg.ts";
import { count } from "./text.ts";
import { ticks } from "./timeline.ts";
import type { Instant } from "./types.ts";

// Series is one of a chart. Values are those of bins, NaN where there is none.
export interface Series {
  readonly values: Float64Array;
  readonly style: string; // a class of the style sheet
}

export interface Setup {
  readonly bins: Bins;
  readonly bars: boolean; // each series is drawn as bars, over those before; else as a line
  readonly series: readonly Series[];
  readonly band: boolean; // the space between the first two series is filled
  readonly unknown: Uint8Array; // 1 for bins that are hatched
  readonly most: number; // the top of the scale
  readonly zone: string;
  words(bin: number): string; // what a bin shows
}

const height = 150;
const [left, right, top, bottom] = [46, 6, 6, 22]; // margins

// Chart is one, drawn into an element as wide as that is.
export class Chart {
  private readonly setup: Setup;
  private readonly place: HTMLElement;
  private readonly go: (ms: number) => void;
  private width = 0;
  private at: Instant = { ms: 0, ns: 0 };
  private now = svg("path", { class: "t-now" });

  // go is called with the time of a click.
  constructor(setup: Setup, place: HTMLElement, go: (ms: number) => void) {
    this.setup = setup;
    this.place = place;
    this.go = go;
  }

  // fit draws the chart anew where its place is not as wide as it was.
  fit(): void {
    const width = Math.max(this.place.clientWidth, 200);
    if (width === this.width) return;
    this.width = width;
    const { bins, series, unknown, bars } = this.setup;
    const drawing = svg("svg", { class: "chart-drawing", width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    drawing.append(...this.axes());
    for (const [from, to] of runs(unknown)) {
      const [a, b] = [this.x(bins.start + from * bins.width), this.x(bins.start + to * bins.width)];
      drawing.append(svg("rect", { class: "t-unknown", x: a, y: top, width: Math.max(b - a, 1), height: height - top - bottom }));
    }
    if (this.setup.band) drawing.append(svg("path", { class: "c-band", d: this.band(series[0].values, series[1].values) }));
    for (const s of series) drawing.append(svg("path", { class: s.style, d: bars ? this.bars(s.values) : this.line(s.values) }));
    this.now = svg("path", { class: "t-now" });
    drawing.append(this.now, this.pointer(drawing));
    this.place.replaceChildren(drawing);
    this.mark(this.at);
  }

  // mark shows an instant.
  mark(at: Instant): void {
    this.at = at;
    const x = this.x(at.ms);
    this.now.setAttribute("d", x >= left && x <= this.width - right ? `M${x.toFixed(1)} ${top}V${height - bottom}` : "");
  }

  private x(ms: number): number {
    const { start, width, count } = this.setup.bins;
    return left + ((ms - start) / (width * count)) * (this.width - left - right);
  }

  private y(value: number): string {
    return (height - bottom - (value / (this.setup.most * 1.06 || 1)) * (height - top - bottom)).toFixed(1);
  }

  private binX(bin: number): string {
    return this.x(this.setup.bins.start + bin * this.setup.bins.width).toFixed(1);
  }

  private axes(): SVGElement[] {
    const { bins, most, zone } = this.setup;
    const all: SVGElement[] = [];
    for (let value = 0, step = stepOf(most); value <= Math.max(most, 1); value += step) {
      all.push(svg("line", { class: "t-axis", x1: left, x2: this.width - right, y1: this.y(value), y2: this.y(value) }));
      all.push(svg("text", { class: "tick", x: left - 6, y: Number(this.y(value)) + 4, "text-anchor": "end" }, count(value)));
    }
    const span = { from: bins.start, to: bins.start + bins.count * bins.width };
    for (const tick of ticks(span, Math.max(Math.floor(this.width / 90), 2), zone)) {
      const x = this.x(tick.ms);
      all.push(svg("line", { class: "t-axis", x1: x, x2: x, y1: top, y2: height - bottom + 4 }));
      const anchor = x > this.width - 34 ? "end" : x < left + 20 ? "start" : "middle";
      all.push(svg("text", { class: "tick", x, y: height - 6, "text-anchor": anchor }, tick.text));
    }
    return all;
  }

  // line is a step for each bin, with gaps where there is no value.
  private line(values: Float64Array): string {
    let d = "";
    for (let i = 0; i < values.length; i++) {
      if (Number.isNaN(values[i])) continue;
      const before = i > 0 && !Number.isNaN(values[i - 1]);
      if (!before) d += `M${this.binX(i)} ${this.y(values[i])}`;
      else if (values[i] !== values[i - 1]) d += `V${this.y(values[i])}`;
      d += `H${this.binX(i + 1)}`;
    }
    return d;
  }

  private band(upper: Float64Array, lower: Float64Array): string {
    let d = "";
    for (let i = 0; i < upper.length; i++) {
      if (upper[i] > lower[i]) d += `M${this.binX(i)} ${this.y(upper[i])}H${this.binX(i + 1)}V${this.y(lower[i])}H${this.binX(i)}z`;
    }
    return d;
  }

  private bars(values: Float64Array): string {
    let d = "";
    const bin = (this.width - left - right) / this.setup.bins.count;
    const gap = bin > 4 ? 1 : 0;
    for (let i = 0; i < values.length; i++) {
      const x = left + i * bin;
      if (values[i] > 0) d += `M${x.toFixed(1)} ${height - bottom}V${this.y(values[i])}h${(bin - gap).toFixed(1)}V${height - bottom}z`;
    }
    return d;
  }

  // pointer is what a mouse touches: it tells what a bin shows, and goes there.
  private pointer(drawing: SVGElement): SVGElement {
    const { bins, words } = this.setup;
    const title = svg("title", {});
    const area = svg("rect", { class: "c-pointer", x: left, y: top, width: this.width - left - right, height: height - top - bottom }, title);
    const time = (event: MouseEvent) => {
      const box = drawing.getBoundingClientRect();
      const share = (event.clientX - box.left - left) / (box.width - left - right);
      return bins.start + Math.min(Math.max(share, 0), 1) * bins.width * bins.count;
    };
    area.addEventListener("mousemove", (event) => {
      const bin = Math.min(Math.floor((time(event) - bins.start) / bins.width), bins.count - 1);
      title.textContent = words(bin);
    });
    area.addEventListener("click", (event) => this.go(time(event)));
    return area;
  }
}

// stepOf is 1, 2 or 5 times a power of ten: the distance of some lines up to a number.
function stepOf(most: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  const step = [0.2, 0.5, 1, 2].find((n) => most / (n * power) <= 4) ?? 5;
  return Math.max(step * power, 1);
}

// runs are the bins that are set, from the first of a row up to, not including, the one behind it.
function runs(set: Uint8Array): [number, number][] {
  const found: [number, number][] = [];
  for (let i = 0; i < set.length; i++) {
    if (!set[i]) continue;
    const from = i;
    while (i < set.length && set[i]) i++;
    found.push([from, i]);
  }
  return found;
}
