// What became of the addresses of a view in the time that the page shows: the figures of the strips. Where `leasectl stats --since
// --until` has the same figure it is reckoned by the same rules (replay/use.go), and the strips say where they must differ.
import { parseAddress } from "./address.ts";
import { compare, fromRFC3339 } from "./instant.ts";
import { Kind, reasonDel } from "./kinds.ts";
import type { Instant, Times, View } from "./types.ts";

// causes are the names of the codes that an ADD is refused with, as in leasectl stats.
const causes = new Map([[100, "exhausted"], [101, "duplicate"], [102, "not_available"]]);

// Bins cut the time shown into equal parts at whole multiples of their width since 1970; the first and the last may reach beyond it.
export interface Bins {
  readonly start: number; // of the first, in milliseconds since 1970
  readonly width: number; // in milliseconds
  readonly count: number;
}

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const widths = [1, 2, 5, 10, 20, 50, 100, 200, 500, second, 2 * second, 5 * second, 10 * second, 15 * second, 30 * second, minute, 2 * minute,
  5 * minute, 10 * minute, 15 * minute, 30 * minute, hour, 2 * hour, 3 * hour, 6 * hour, 12 * hour, day, 2 * day, 7 * day, 14 * day, 28 * day];

// binsOf cuts a time into at most so many bins, and one.
export function binsOf(from: Instant, to: Instant, most: number): Bins {
  const span = to.ms - from.ms;
  let width = widths.find((w) => span / w <= most) ?? 28 * day;
  while (span / width > most) width *= 2;
  const start = Math.floor(from.ms / width) * width;
  return { start, width, count: Math.floor((to.ms - start) / width) + 1 };
}

// Use has a value for each bin; NaN where nothing is known.
export interface Use {
  readonly most: Float64Array; // leases held at once
  readonly least: Float64Array;
  readonly capacity: Float64Array; // addresses that can be given
  readonly unknown: Uint8Array; // 1: in a part of the bin it is not known what was held
  readonly peak: number;
  readonly peakEvent: number; // index of the event after which that was so first; -1 if there is none
}

// heldAfter returns how many leases were held after each event, by the order of events. A journal's leases end with it.
function heldAfter(view: View): Int32Array {
  const { events, leases } = view;
  const held = new Int32Array(events.count);
  for (let i = 0; i < leases.count; i++) {
    held[leases.start[i]]++;
    if (leases.end[i] >= 0) held[leases.end[i]]--;
  }
  let n = 0;
  let journal = -1;
  for (let i = 0; i < events.count; i++) {
    if (events.journal[i] !== journal) n = 0;
    journal = events.journal[i];
    n += held[i];
    held[i] = n;
  }
  return held;
}

// byTime returns the events of the time shown, ordered by effective time and then by sequence number.
function byTime(view: View): Uint32Array {
  const { first, last, effective } = view.events;
  const order = new Uint32Array(Math.max(last - first + 1, 0));
  let sorted = true;
  for (let i = 0; i < order.length; i++) {
    order[i] = first + i;
    if (i > 0 && later(effective, first + i - 1, first + i)) sorted = false;
  }
  return sorted ? order : order.sort((a, b) => effective.ms[a] - effective.ms[b] || effective.ns[a] - effective.ns[b] || a - b);
}

function later(times: Times, a: number, b: number): boolean {
  return times.ms[a] > times.ms[b] || (times.ms[a] === times.ms[b] && times.ns[a] > times.ns[b]);
}

// inside says whether an event is of the time shown, by its effective time.
function inside(view: View, event: number): boolean {
  const { ms, ns } = view.events.effective;
  const { from, to } = view;
  return event >= view.events.first && event <= view.events.last &&
    (ms[event] > from.ms || (ms[event] === from.ms && ns[event] >= from.ns)) && (ms[event] < to.ms || (ms[event] === to.ms && ns[event] <= to.ns));
}

// useOf reckons leases in use. Peak is as in leasectl stats: by the order of events, with what was held when the time began.
export function useOf(view: View, bins: Bins): Use {
  const { events } = view;
  const held = heldAfter(view);
  const most = new Float64Array(bins.count).fill(NaN);
  const least = new Float64Array(bins.count).fill(NaN);
  const { capacity, unknown } = rangesOf(view, bins);
  let now = events.first > 0 ? held[events.first - 1] : 0;
  let bin = 0;
  const enter = (upTo: number) => {
    for (; bin <= upTo && bin < bins.count; bin++) most[bin] = least[bin] = now;
  };
  for (const event of byTime(view)) {
    if (!inside(view, event)) continue;
    const at = Math.floor((events.effective.ms[event] - bins.start) / bins.width);
    enter(at);
    now = held[event];
    most[at] = Math.max(most[at], now);
    least[at] = Math.min(least[at], now);
  }
  enter(bins.count - 1);
  let peakEvent = -1;
  for (let i = Math.max(events.first - 1, 0); i <= events.last; i++) {
    if ((i < events.first || inside(view, i)) && (peakEvent < 0 || held[i] > held[peakEvent])) peakEvent = i;
  }
  for (let i = 0; i < bins.count; i++) {
    if (unknown[i] === 2) most[i] = least[i] = NaN;
  }
  return { most, least, capacity, unknown: unknown.map((u) => (u ? 1 : 0)), peak: peakEvent < 0 ? 0 : held[peakEvent], peakEvent };
}

// rangesOf tells capacity by bin, as it was at the bin's end, and in which bins something is unknown: 1 a part of it, 2 all of it.
function rangesOf(view: View, bins: Bins): { capacity: Float64Array; unknown: Uint8Array } {
  const capacity = new Float64Array(bins.count).fill(NaN);
  const unknown = new Uint8Array(bins.count);
  const end = bins.start + bins.count * bins.width;
  const mark = (from: number, to: number) => {
    for (let i = Math.max(Math.floor((from - bins.start) / bins.width), 0); i < bins.count; i++) {
      const left = bins.start + i * bins.width;
      if (left >= to) break;
      unknown[i] = Math.max(unknown[i], from <= left && to >= left + bins.width ? 2 : 1);
    }
  };
  view.phases.forEach((phase, k) => {
    if (phase.from && compare(phase.from, view.to) > 0) return;
    const from = phase.from?.ms ?? -Infinity;
    const next = view.phases[k + 1]?.from;
    const to = next && compare(next, view.to) <= 0 ? next.ms : Infinity;
    if (phase.why.length > 0) mark(from, to); // else it is known who held what, be it only not from which ranges
    const total = phase.known && phase.whole ? capacityOf(view, phase.ranges) : NaN;
    for (let i = 0; i < bins.count; i++) {
      const at = Math.min(bins.start + (i + 1) * bins.width, view.to.ms);
      if (from <= at && at < to) capacity[i] = total;
    }
  });
  if (!view.covered) mark(-Infinity, Infinity);
  else if (view.covered.ms < view.to.ms) mark(view.covered.ms, end);
  return { capacity, unknown };
}

// nothingTold reports whether of no part of the time anything is known.
export function nothingTold(use: Use): boolean {
  return use.most.every(Number.isNaN);
}

// capacitiesOf are those of each family, of the time when most addresses could be given.
export function capacitiesOf(view: View): { v4: number; v6: number } {
  let most = { v4: 0, v6: 0 };
  for (const phase of view.phases) {
    if (!phase.known || !phase.whole || (phase.from && compare(phase.from, view.to) > 0)) continue;
    const of = (colon: boolean) => capacityOf(view, phase.ranges.filter((i) => view.ranges[i].start.includes(":") === colon));
    const now = { v4: of(false), v6: of(true) };
    if (now.v4 + now.v6 > most.v4 + most.v6) most = now;
  }
  return most;
}

// capacityOf counts the addresses that can be given from ranges: all but gateways.
export function capacityOf(view: View, ranges: readonly number[]): number {
  let total = 0n;
  for (const i of ranges) {
    const { start, end, gateway } = view.ranges[i];
    const [first, last] = [addressValue(start), addressValue(end)];
    total += last - first + 1n;
    if (gateway && gateway.includes(":") === start.includes(":")) {
      const g = addressValue(gateway);
      if (first <= g && g <= last) total--;
    }
  }
  return Number(total);
}

// addressValue is an address as a number, of its family; 0 for what is no address.
export function addressValue(text: string): bigint {
  return (parseAddress(text) ?? new Uint8Array()).reduce((n, byte) => (n << 8n) | BigInt(byte), 0n);
}

// Rate has counts of events for each bin.
interface Rate {
  readonly adds: Float64Array;
  readonly dels: Float64Array;
  readonly refused: Float64Array;
  readonly totals: { adds: number; dels: number; refused: number };
  readonly causes: readonly { cause: string; count: number }[]; // of refusals, most first
}

// rateOf counts events. A DEL is one for which the runtime asked: what its clean-up (gc) released, or an operator, is not.
export function rateOf(view: View, bins: Bins): Rate {
  const { events, leases } = view;
  const asked = new Uint8Array(events.count); // 1 for a DEL
  for (let i = events.first; i <= events.last; i++) asked[i] = events.kind[i] === Kind.del ? 1 : 0;
  for (let i = 0; i < leases.count; i++) {
    const end = leases.end[i];
    if (end >= 0 && (events.kind[end] === Kind.del || events.kind[end] === Kind.release)) asked[end] = leases.reason[i] === reasonDel ? 1 : 0;
  }
  const adds = new Float64Array(bins.count);
  const dels = new Float64Array(bins.count);
  const refused = new Float64Array(bins.count);
  const totals = { adds: 0, dels: 0, refused: 0 };
  const byCause = new Map<string, number>();
  for (let i = events.first; i <= events.last; i++) {
    if (!inside(view, i)) continue;
    const bin = Math.floor((events.effective.ms[i] - bins.start) / bins.width);
    if (events.kind[i] === Kind.add) {
      adds[bin]++;
      totals.adds++;
    } else if (events.kind[i] === Kind.refuse) {
      refused[bin]++;
      totals.refused++;
      const cause = causes.get(events.code[i]) ?? "other";
      byCause.set(cause, (byCause.get(cause) ?? 0) + 1);
    } else if (asked[i]) {
      dels[bin]++;
      totals.dels++;
    }
  }
  const list = [...byCause].map(([cause, count]) => ({ cause, count })).sort((a, b) => b.count - a.count || (a.cause < b.cause ? -1 : 1));
  return { adds, dels, refused, totals, causes: list };
}

// Reuses are the times from the end of a lease to the ADD that gave its address next, where the ADD is in the time shown.
export interface Reuses {
  readonly bins: readonly { from: number; to: number; count: number }[]; // in milliseconds; without the empty ones before and behind
  readonly count: number;
  readonly median: number; // the lower one of the two in the middle, in milliseconds; NaN without any
  readonly shortest: number;
  readonly shortestLease: number; // that followed; -1 without any
  readonly negative: number; // left out: by the clocks the ADD came first
  readonly uncertain: number; // left out: less than the error of the clocks, or these were not synchronised
}

const noBoot = "00000000-0000-0000-0000-000000000000";

export function reusesOf(view: View): Reuses {
  const { events, leases, addresses } = view;
  const lags: number[] = [];
  let [negative, uncertain, shortest, shortestLease] = [0, 0, NaN, -1];
  for (let a = 0; a < addresses.count; a++) {
    const of = addresses.leases(a);
    for (let k = 1; k < of.length; k++) {
      const end = leases.end[of[k - 1]];
      const start = leases.start[of[k]];
      if (end < 0 || events.kind[start] !== Kind.add || events.journal[end] !== events.journal[start] || !inside(view, start)) continue;
      const lag = apart(view, end, start);
      if (lag.ms < 0) negative++;
      else if (!lag.sure) uncertain++;
      else {
        lags.push(lag.ms);
        if (!(lag.ms > shortest) && (lag.ms !== shortest || start < leases.start[shortestLease])) [shortest, shortestLease] = [lag.ms, of[k]];
      }
    }
  }
  const sorted = Float64Array.from(lags).sort();
  const median = sorted.length ? sorted[(sorted.length - 1) >> 1] : NaN;
  return { bins: logBins(sorted), count: sorted.length, median, shortest, shortestLease, negative, uncertain };
}

// apart is the time from one event to a later one. It is sure if its sign can't be an error of the clocks. Within a boot that had no
// synchronised clock leasectl stats has the boot-time clock, which the page has not: a clock set by hand is in its figure here.
function apart(view: View, from: number, to: number): { ms: number; sure: boolean } {
  const { ms, ns } = view.events.effective;
  const lag = ms[to] - ms[from] + (ns[to] - ns[from]) / 1e6;
  const [a, b] = [view.boots[view.events.boot[from]], view.boots[view.events.boot[to]]];
  if (a.id === b.id && a.id !== "" && a.id !== noBoot) return { ms: lag, sure: true };
  return { ms: lag, sure: a.synced && b.synced && Math.abs(lag) * 1e6 > a.maxError + b.maxError };
}

// logBins counts sorted durations in bins of 1, 2, 5, 10 ms and so on, then of usual lengths of time.
function logBins(sorted: Float64Array): { from: number; to: number; count: number }[] {
  const edges = [0, ...[1, 2, 5, 10, 20, 50, 100, 200, 500], ...[1, 2, 5, 10, 20, 30].map((n) => n * second), ...[1, 2, 5, 10, 20, 30].map((n) => n * minute),
    ...[1, 2, 4, 8, 12].map((n) => n * hour), ...[1, 2, 4, 7, 14, 28, 84, 365].map((n) => n * day), Infinity];
  const bins: { from: number; to: number; count: number }[] = [];
  let next = 0;
  for (let i = 0; i + 1 < edges.length && next < sorted.length; i++) {
    const begin = next;
    while (next < sorted.length && sorted[next] < edges[i + 1]) next++;
    if (bins.length > 0 || next > begin) bins.push({ from: edges[i], to: edges[i + 1], count: next - begin });
  }
  return bins;
}

// Hold is how long a lease was held, also where that reaches beyond the time shown.
interface Hold {
  readonly lease: number;
  readonly ms: number;
  readonly ended: boolean;
}

// longestOf returns the leases held longest of those in the time shown, longest first.
export function longestOf(view: View, most: number): Hold[] {
  const { events, leases } = view;
  const now = view.journals.map((_, i) => lastTold(view, i));
  const found: Hold[] = [];
  for (let i = 0; i < leases.count; i++) {
    const [start, end] = [leases.start[i], leases.end[i]];
    const from = events.effective.ms[start] + events.effective.ns[start] / 1e6;
    const to = end >= 0 ? events.effective.ms[end] + events.effective.ns[end] / 1e6 : now[events.journal[start]];
    const ms = to - from;
    if (!(ms >= 0) || (found.length === most && ms <= found[most - 1].ms)) continue;
    let k = found.length;
    while (k > 0 && found[k - 1].ms < ms) k--;
    found.splice(k, 0, { lease: i, ms, ended: end >= 0 });
    if (found.length > most) found.pop();
  }
  return found;
}

// lastTold is up to when a journal tells that leases were held: now for a live one, else its last event.
function lastTold(view: View, journal: number): number {
  const j = view.journals[journal];
  if (j.live && view.covered) return view.covered.ms + view.covered.ns / 1e6;
  const last = fromRFC3339(j.lastTime);
  return last === null ? NaN : last.ms + last.ns / 1e6;
}
