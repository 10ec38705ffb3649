// Charts over time, drawn by uPlot: they know of bins and colours, not of leases.
import uPlot from "uplot";
import type { Bins } from "./figures.ts";
import { colour } from "./theme.ts";
import { offset, tickText } from "./timeline.ts";
import type { Instant } from "./types.ts";

// Series is one of a chart. Values are those of bins, NaN where there is none.
export interface Series {
  readonly name: string;
  readonly values: Float64Array;
  readonly colour: string; // a variable of the style sheet
  readonly dash?: readonly number[];
  readonly wide?: boolean;
}

export interface Setup {
  readonly bins: Bins;
  readonly series: readonly Series[];
  readonly band?: readonly [number, number]; // series whose space between is filled, the upper one first
  readonly bars?: boolean;
  readonly unknown: Uint8Array; // 1 for bins that are hatched
  readonly most: number; // the top of the scale
  readonly zone: string;
}

export interface Chart {
  readonly plot: uPlot;
  mark(at: Instant): void;
}

const height = 150;

// chart draws one into an element. go is called with the time of a click.
export function chart(setup: Setup, into: HTMLElement, go: (ms: number) => void): Chart {
  const { bins } = setup;
  const end = bins.start + bins.count * bins.width;
  const now = document.createElement("div");
  now.className = "chart-now";
  const options: uPlot.Options = {
    width: Math.max(into.clientWidth, 200),
    height,
    ms: 1,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
    padding: [8, 8, 0, 0],
    scales: { x: { time: true, range: () => [bins.start, end] }, y: { range: () => [0, Math.max(setup.most * 1.1, 1)] } },
    axes: [timeAxis(setup.zone), countAxis()],
    series: [{}, ...setup.series.map((s) => seriesOf(s, setup.bars === true))],
    bands: setup.band && [{ series: [setup.band[0] + 1, setup.band[1] + 1], fill: () => faded(setup.series[setup.band![0]].colour) }],
    hooks: { drawAxes: [(u) => hatch(u, setup)], ready: [(u) => u.over.append(now)] },
  };
  const plot = new uPlot(options, dataOf(setup), into);
  plot.over.addEventListener("click", () => {
    const { left } = plot.cursor;
    if (left !== undefined && left >= 0) go(plot.posToVal(left, "x"));
  });
  return {
    plot,
    mark(at) {
      const left = plot.valToPos(at.ms, "x");
      now.hidden = !(left >= 0 && left <= plot.over.clientWidth);
      now.style.left = `${left.toFixed(1)}px`;
    },
  };
}

// dataOf gives each bin a point in its middle for bars, and else a step from its beginning to its end.
function dataOf(setup: Setup): uPlot.AlignedData {
  const { bins, series, bars } = setup;
  const n = bars ? bins.count : bins.count + 1;
  const xs = Array.from({ length: n }, (_, i) => bins.start + (bars ? i + 0.5 : i) * bins.width);
  const value = (values: Float64Array, i: number) => {
    const v = values[Math.min(i, bins.count - 1)];
    return Number.isNaN(v) ? null : v;
  };
  return [xs, ...series.map((s) => xs.map((_, i) => value(s.values, i)))];
}

function seriesOf(s: Series, bars: boolean): uPlot.Series {
  return {
    label: s.name,
    stroke: () => colour(s.colour),
    fill: bars ? () => colour(s.colour) : undefined,
    width: bars ? 0 : s.wide ? 2 : 1,
    dash: s.dash && [...s.dash],
    points: { show: false },
    paths: bars ? uPlot.paths.bars!({ size: [0.9, 40, 1] }) : uPlot.paths.stepped!({ align: 1 }),
  };
}

function faded(variable: string): string {
  return colour(variable).replace(/^rgb\((.*)\)$/, "rgba($1, 0.25)");
}

function axis(): uPlot.Axis {
  const line = { stroke: () => colour("--line"), width: 1 };
  return { stroke: () => colour("--muted"), grid: line, ticks: { ...line, size: 4 }, font: "11px system-ui, sans-serif" };
}

function timeAxis(zone: string): uPlot.Axis {
  return {
    ...axis(),
    space: 90,
    size: 28,
    values: (_, splits, _axis, _space, step) => splits.map((ms, i) => tickText(ms + offset(ms, zone), step, i === 0)),
  };
}

function countAxis(): uPlot.Axis {
  return { ...axis(), size: 52, space: 28, incrs: [1, 2, 5].flatMap((n) => Array.from({ length: 10 }, (_, e) => n * 10 ** e)).sort((a, b) => a - b),
    values: (_, splits) => splits.map((n) => n.toLocaleString("en")) };
}

// hatch draws what is unknown, below everything else.
function hatch(u: uPlot, { bins, unknown }: Setup): void {
  const { ctx, bbox } = u;
  for (let i = 0; i < bins.count; i++) {
    if (!unknown[i]) continue;
    let k = i;
    while (k < bins.count && unknown[k]) k++;
    const left = u.valToPos(bins.start + i * bins.width, "x", true);
    const right = u.valToPos(bins.start + k * bins.width, "x", true);
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, right - left, bbox.height);
    ctx.clip();
    ctx.strokeStyle = colour("--unknown");
    ctx.globalAlpha = 0.6;
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    const gap = 8 * devicePixelRatio;
    for (let x = left - bbox.height; x < right; x += gap) {
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x + bbox.height, bbox.top + bbox.height);
    }
    ctx.stroke();
    ctx.restore();
    i = k;
  }
}
