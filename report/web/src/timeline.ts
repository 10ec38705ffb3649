// A drawing of what addresses were over time: one row for each.
import { el } from "./dom.ts";
import { svg } from "./svg.ts";
import { State, stateNames } from "./types.ts";
import type { Cell, Instant, Stretch } from "./types.ts";

export interface Row {
  readonly address: string;
  readonly course: readonly Stretch[];
  readonly of: ReadonlySet<number> | null; // the leases that the drawing is about; null: all
}

export interface Span {
  readonly from: number; // milliseconds since 1970
  readonly to: number;
}

const rowHeight = 22;
const axisHeight = 18;
const labelHeight = 14;

// Timeline is one that was drawn.
export interface Timeline {
  readonly element: SVGElement;
  mark(at: Instant): void; // moves the line that shows an instant
  time(clientX: number): number; // at a place of the mouse
}

// drawTimeline draws rows over a span. words are what it shows, for who can't see it.
export function drawTimeline(rows: readonly Row[], span: Span, width: number, zone: string, words: string): Timeline {
  const labels = rows.length > 1;
  const step = rowHeight + (labels ? labelHeight : 4);
  const height = rows.length * step + axisHeight;
  const scale = width / Math.max(span.to - span.from, 1e-6);
  const x = (ms: number) => Math.min(Math.max((ms - span.from) * scale, 0), width);
  const drawing = svg("svg", { class: "timeline", role: "img", "aria-label": words, width, height, viewBox: `0 0 ${width} ${height}` });
  rows.forEach((row, i) => {
    const top = i * step + (labels ? labelHeight : 2);
    if (labels) drawing.append(svg("text", { class: "tick", x: 0, y: top - 3 }, row.address));
    drawing.append(svg("rect", { class: "t-free", x: 0, y: top, width, height: rowHeight }));
    drawing.append(...paths(row, span, x, top));
  });
  const bottom = rows.length * step;
  for (const tick of ticks(span, Math.max(Math.floor(width / 90), 2), zone)) {
    const at = x(tick.ms);
    drawing.append(svg("line", { class: "t-axis", x1: at, x2: at, y1: 0, y2: bottom + 3 }));
    const anchor = at < 30 ? "start" : at > width - 30 ? "end" : "middle";
    drawing.append(svg("text", { class: "tick", x: at, y: bottom + 14, "text-anchor": anchor }, tick.text));
  }
  const line = svg("path", { class: "t-now", d: "" });
  drawing.append(line);
  return {
    element: drawing,
    mark(at) {
      const ms = at.ms + at.ns / 1e6;
      const out = ms < span.from || ms > span.to;
      line.setAttribute("d", out ? "" : `M${x(ms).toFixed(1)} 0V${bottom}m-4 0h8l-4 -5z`);
    },
    time: (clientX) => {
      const box = drawing.getBoundingClientRect();
      return span.from + ((clientX - box.left) / box.width) * (span.to - span.from);
    },
  };
}

// paths are the stretches of a row, as one path for each way to show them.
function paths(row: Row, span: Span, x: (ms: number) => number, top: number): SVGElement[] {
  const drawn = new Map<string, { d: string; right: number }>();
  let holder = -1;
  let turn = 1;
  for (let i = 0; i < row.course.length; i++) {
    const { from, cell } = row.course[i];
    const next = row.course[i + 1]?.from;
    const begin = from.ms + from.ns / 1e6;
    const end = next ? next.ms + next.ns / 1e6 : Infinity;
    if (cell.state === State.held && cell.leases[0] !== holder) {
      holder = cell.leases[0];
      turn ^= 1;
    }
    if (end < span.from || begin > span.to) continue;
    const way = wayOf(cell, row.of, turn);
    if (!way) continue;
    const left = x(begin);
    // What is sure, or unknown, is seen however short it is; what the clocks leave open at its borders only where there is room.
    const right = Math.max(x(end), cell.sure ? left + 1 : 0);
    if (right - left < 0.5) continue;
    const at = drawn.get(way) ?? { d: "", right: -1 };
    if (right <= at.right) continue;
    at.d += `M${left.toFixed(2)} ${top}H${right.toFixed(2)}v${rowHeight}H${left.toFixed(2)}z`;
    at.right = right;
    drawn.set(way, at);
  }
  return Array.from(drawn, ([way, { d }]) => svg("path", { class: way, d }));
}

// wayOf is how a cell is shown; "" for what is free. Leases that follow each other take turns, so that their border shows.
function wayOf(cell: Cell, of: ReadonlySet<number> | null, turn: number): string {
  if (cell.state === State.unknown) return "t-unknown";
  if (cell.state === State.held) {
    if (of && !cell.leases.some((lease) => of.has(lease))) return "t-other";
    return cell.sure ? `t-held t-turn${turn}` : "t-unsure";
  }
  if (cell.state === State.free) return cell.sure ? "" : "t-free-maybe";
  return `t-${stateNames[cell.state].replace(" ", "-")}${cell.sure ? "" : " t-maybe"}`;
}

const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3, 10800e3,
  21600e3, 43200e3, 86400e3, 172800e3, 604800e3, 1209600e3, 2419200e3, 7257600e3, 31536000e3];

// ticks are round times of a zone within a span, at most so many.
export function ticks(span: Span, most: number, zone: string): { ms: number; text: string }[] {
  const step = steps.find((s) => (span.to - span.from) / s <= most) ?? steps[steps.length - 1];
  const off = offset(span.from, zone);
  const found: { ms: number; text: string }[] = [];
  for (let local = Math.ceil((span.from + off) / step) * step; local - off <= span.to && found.length <= most; local += step) {
    found.push({ ms: local - off, text: tickText(local, step, found.length === 0) });
  }
  return found;
}

// tickText writes a local time as far as the step between ticks tells apart; the day where it begins and at the first tick.
function tickText(local: number, step: number, first: boolean): string {
  const iso = new Date(local).toISOString();
  if (step >= 86400e3) return iso.slice(0, 10);
  const time = step >= 60e3 ? iso.slice(11, 16) : step >= 1e3 ? iso.slice(11, 19) : iso.slice(11, 23);
  return first && step >= 60e3 || local % 86400e3 === 0 ? `${iso.slice(5, 10)} ${time}` : time;
}

const formats = new Map<string, Intl.DateTimeFormat>();

// offset is that of a zone from UTC at a time, in milliseconds.
function offset(ms: number, zone: string): number {
  if (zone === "UTC") return 0;
  let format = formats.get(zone);
  if (!format) {
    const digits = "2-digit";
    format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, year: "numeric", month: digits, day: digits, hour: digits, minute: digits, second: digits });
    formats.set(zone, format);
  }
  return Date.parse(format.format(ms).replace(" ", "T") + "Z") - Math.floor(ms / 1000) * 1000;
}

const turns = "t-held t-turn0";

// keyOf explains the ways of the drawing that occur in rows.
export function keyOf(rows: readonly Row[]): HTMLElement {
  const ways = new Map<string, string>();
  const holders = new Set<number>();
  for (const row of rows) {
    for (const { cell } of row.course) {
      const way = wayOf(cell, row.of, 0) || "t-free";
      if (way === turns) holders.add(cell.leases[0]);
      ways.set(way, way === "t-other" ? "held by others" : (cell.sure ? "" : "uncertain: ") + stateNames[cell.state]);
    }
  }
  if (holders.size > 1) ways.set(turns, "held, the next lease in the other shade");
  const key = el("ul", { class: "t-key" });
  for (const [way, words] of ways) {
    const sample = svg("svg", { class: "timeline", width: 18, height: 12, "aria-hidden": "true" },
      svg("rect", { class: "t-free", width: 18, height: 12 }), svg("path", { class: way, d: "M0 0h18v12h-18z" }));
    if (way === turns && holders.size > 1) sample.append(svg("path", { class: "t-held t-turn1", d: "M9 0h9v12h-9z" }));
    key.append(el("li", {}, sample, " ", words));
  }
  return key;
}
