// The time slider, and the histogram of what happened under it.
import { el, element } from "./dom.ts";
import { compare, format } from "./instant.ts";
import { Kind } from "./kinds.ts";
import { colour, themeChanged } from "./theme.ts";
import { count } from "./text.ts";
import type { Instant, Page, View } from "./types.ts";

const height = 46;
const finest = 100_000; // steps, at most

// Scale is a view's time as steps of the slider: whole milliseconds, seconds or minutes, and exactly its beginning and its end.
class Scale {
  readonly steps: number;
  private readonly view: View;
  private readonly unit: number; // milliseconds

  constructor(view: View) {
    this.view = view;
    const span = view.to.ms - view.from.ms + 1;
    const units = [1, 10, 100, 1000, 5000, 15_000, 60_000, 300_000, 900_000, 3_600_000];
    this.unit = units.find((u) => span / u <= finest) ?? 86_400_000;
    this.steps = Math.max(1, Math.ceil(span / this.unit));
  }

  instant(step: number): Instant {
    if (step <= 0) return this.view.from;
    const at = { ms: Math.floor(this.view.from.ms / this.unit + step) * this.unit, ns: 0 };
    return step >= this.steps || compare(at, this.view.to) > 0 ? this.view.to : at;
  }

  step(at: Instant): number {
    if (compare(at, this.view.to) >= 0) return this.steps;
    return Math.max(0, Math.round(at.ms / this.unit - Math.floor(this.view.from.ms / this.unit)));
  }
}

export function mountSlider(page: Page): void {
  const area = element("slider-area");
  const input = el("input", { type: "range", id: "slider", min: 0, step: 1, "aria-label": "Instant", "aria-describedby": "churn-text" });
  const canvas = el("canvas", { class: "churn", "aria-hidden": "true" });
  const marker = el("div", { class: "marker", "aria-hidden": "true" });
  const text = el("p", { id: "churn-text", class: "unseen" });
  const ends = el("div", { class: "ends", "aria-hidden": "true" });
  area.append(input, el("div", { class: "under" }, canvas, marker), ends, text);
  let scale: Scale;
  let own = false; // the change comes from the slider itself, whose thumb is where it is

  const place = (): void => {
    const { at } = page.selection;
    const view = page.report.views[page.selection.view];
    if (!own) input.value = String(scale.step(at));
    input.setAttribute("aria-valuetext", format(at));
    marker.style.left = `${100 * share(view, at)}%`;
  };
  const fit = (): void => {
    const view = page.report.views[page.selection.view];
    scale = new Scale(view);
    input.max = String(scale.steps);
    ends.replaceChildren(el("span", {}, format(view.from).slice(0, 19) + "Z"), key(), el("span", {}, format(view.to).slice(0, 19) + "Z"));
    text.textContent = histogram(canvas, view);
    place();
  };

  let frame = 0;
  input.addEventListener("input", () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      own = true;
      page.set({ at: scale.instant(Number(input.value)) });
      own = false;
    });
  });
  const drag = (e: PointerEvent): void => {
    const box = canvas.getBoundingClientRect();
    const view = page.report.views[page.selection.view];
    page.set({ at: fraction(view, (e.clientX - box.left) / box.width) });
  };
  canvas.addEventListener("pointerdown", (e) => {
    canvas.setPointerCapture(e.pointerId);
    drag(e);
  });
  canvas.addEventListener("pointermove", (e) => {
    if (canvas.hasPointerCapture(e.pointerId)) drag(e);
  });
  page.listen((now, before) => (now.view !== before.view ? fit() : place()));
  document.addEventListener(themeChanged, () => histogram(canvas, page.report.views[page.selection.view]));
  new ResizeObserver(() => histogram(canvas, page.report.views[page.selection.view])).observe(area);
  fit();
}

// share is how far an instant is on the way from the beginning to the end: 0 to 1.
function share(view: View, at: Instant): number {
  const span = view.to.ms - view.from.ms + (view.to.ns - view.from.ns) / 1e6;
  if (span <= 0) return 1;
  return Math.max(0, Math.min(1, (at.ms - view.from.ms + (at.ns - view.from.ns) / 1e6) / span));
}

function fraction(view: View, part: number): Instant {
  if (part <= 0) return view.from;
  if (part >= 1) return view.to;
  const span = view.to.ms - view.from.ms + (view.to.ns - view.from.ns) / 1e6;
  return { ms: view.from.ms + Math.ceil(span * part), ns: 0 };
}

function key(): HTMLElement {
  const item = (name: string, text: string): HTMLElement => el("span", { class: `key ${name}` }, text);
  return el("span", { class: "keys" }, item("add", "adds"), item("del", "ends"), item("refuse", "refused"), "height: square root");
}

// histogram draws adds upwards and ends downwards, with a mark above where adds were refused. Heights are square roots, so that a node's
// restart leaves something of the hours around it. It says in words what it shows.
function histogram(canvas: HTMLCanvasElement, view: View): string {
  const ratio = devicePixelRatio || 1;
  const width = Math.max(1, Math.round((canvas.parentElement!.clientWidth || 600) * ratio));
  if (canvas.width !== width) canvas.width = width;
  canvas.height = height * ratio;
  canvas.style.height = `${height}px`;
  const bar = Math.max(1, Math.round(3 * ratio));
  const n = Math.max(1, Math.floor(width / bar));
  const [added, ended, refused] = [new Uint32Array(n), new Uint32Array(n), new Uint32Array(n)];
  const totals = [0, 0, 0];
  const { kind, effective, first, last } = view.events;
  for (let e = first; e <= last; e++) {
    const bin = Math.min(n - 1, Math.floor(n * share(view, { ms: effective.ms[e], ns: effective.ns[e] })));
    const k = kind[e];
    if (k === Kind.add || k === Kind.import) added[bin]++, totals[0]++;
    else if (k === Kind.del || k === Kind.release || k === Kind.reset) ended[bin]++, totals[1]++;
    else if (k === Kind.refuse) refused[bin]++, totals[2]++;
  }
  const top = Math.max(1, added.reduce((a, b) => Math.max(a, b), 0), ended.reduce((a, b) => Math.max(a, b), 0));
  const context = canvas.getContext("2d")!;
  const band = 6 * ratio; // for refusals
  const half = (canvas.height - band) / 2;
  const middle = band + half;
  const length = (value: number): number => (value ? Math.max(ratio, (half - ratio) * Math.sqrt(value / top)) : 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  shade(context, view, ratio);
  const draw = (values: Uint32Array, fill: string, box: (x: number, value: number) => [number, number, number, number]): void => {
    context.fillStyle = fill;
    values.forEach((value, i) => value && context.fillRect(...box((i * width) / n, value)));
  };
  const thick = Math.max(1, bar - ratio);
  draw(added, colour("--add"), (x, value) => [x, middle - length(value), thick, length(value)]);
  draw(ended, colour("--del"), (x, value) => [x, middle, thick, length(value)]);
  draw(refused, colour("--refuse"), (x) => [x, 0, Math.max(thick, 2 * ratio), band - 2 * ratio]);
  context.fillStyle = colour("--line");
  context.fillRect(0, middle, width, ratio);
  return `${count(totals[0])} adds, ${count(totals[1])} ends and ${count(totals[2])} refusals in the time shown.`;
}

// shade hatches the times of which it is not known what was held.
function shade(context: CanvasRenderingContext2D, view: View, ratio: number): void {
  if (compare(view.from, view.to) >= 0) return;
  const { width, height: high } = context.canvas;
  const edges = view.phases.map((phase) => ({ known: phase.known, from: phase.from ? share(view, phase.from) : 0 }));
  if (view.covered !== null) edges.push({ known: false, from: share(view, view.covered) });
  context.save();
  context.strokeStyle = colour("--unknown");
  context.lineWidth = ratio;
  edges.forEach(({ known, from }, i) => {
    const to = edges[i + 1]?.from ?? 1;
    const edge = from * width < 1 || (1 - to) * width < 1; // the journal begins and ends there: less than a pixel is its clock's error
    if (known || to <= from || (edge && (to - from) * width < 1)) return;
    context.save();
    context.beginPath();
    context.rect(from * width, 0, Math.max(2 * ratio, (to - from) * width), high);
    context.clip();
    context.beginPath();
    for (let x = from * width - high; x < to * width + 2 * ratio; x += 7 * ratio) {
      context.moveTo(x, high);
      context.lineTo(x + high, 0);
    }
    context.stroke();
    context.restore();
  });
  context.restore();
}
