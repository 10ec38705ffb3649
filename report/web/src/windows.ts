// When a lease is in the table, and whether that is sure: docs/FORMAT.md has the rule.

import type { Events, Instant } from "./types.ts";

// Window is a time, "to" not included, in which a lease is in the table. Milliseconds may be infinite.
export interface Window {
  readonly fromMs: number;
  readonly fromNs: number;
  readonly toMs: number;
  readonly toNs: number;
  readonly unsure: boolean;
  readonly partly: boolean; // whether the lease was held depends on the error of a clock
  readonly use: boolean; // its use is in doubt, or may be, by that error
}

// Span is four instants of a lease: it may be in the table from the first on and is from the second on; it may be gone from
// the third on and is from the fourth on.
export interface Span {
  readonly ms: Float64Array;
  readonly ns: Uint32Array;
}

// Spans tells the windows of each lease.
export class Spans {
  private readonly events: Events;
  private readonly errorMs: Float64Array; // by boot
  private readonly errorNs: Float64Array;
  private readonly start: Uint32Array;
  private readonly end: Int32Array;
  private readonly doubtful: Int32Array;
  private readonly throughout: (lease: number) => boolean;
  private readonly explicit: ReadonlyMap<number, readonly Window[]>;
  private readonly told: Instant; // up to which leases without an end are sure
  private readonly open: Instant; // and behind which none of them is in the table
  private readonly one: Span = { ms: new Float64Array(8), ns: new Uint32Array(8) }; // and the bounds of its end, and of where use is in doubt

  constructor(of: {
    events: Events;
    errors: readonly number[];
    start: Uint32Array;
    end: Int32Array;
    doubtful: Int32Array;
    throughout: (lease: number) => boolean;
    explicit: ReadonlyMap<number, readonly Window[]>;
    told: Instant;
    open: Instant;
  }) {
    this.events = of.events;
    this.errorMs = Float64Array.from(of.errors, (ns) => Math.floor(ns / 1e6));
    this.errorNs = Float64Array.from(of.errors, (ns) => ns % 1e6);
    this.start = of.start;
    this.end = of.end;
    this.doubtful = of.doubtful;
    this.throughout = of.throughout;
    this.explicit = of.explicit;
    this.told = of.told;
    this.open = of.open;
  }

  // explicitOf returns the windows that do not follow from the events' times; undefined if they do.
  explicitOf(lease: number): readonly Window[] | undefined {
    return this.explicit.get(lease);
  }

  // isUnsure reports whether the lease is nowhere sure to have been in the table, for other reasons than clocks.
  isUnsure(lease: number): boolean {
    return this.throughout(lease) || this.explicit.has(lease);
  }

  // all returns the spans of all leases one after the other. Events are read in their order here, which is much quicker than
  // lease by lease as addresses have them.
  all(): Span {
    const count = this.start.length;
    const span = { ms: new Float64Array(4 * count), ns: new Uint32Array(4 * count) };
    for (let lease = 0; lease < count; lease++) this.write(lease, span, 4 * lease);
    return span;
  }

  // windows returns all windows of a lease.
  windows(lease: number): readonly Window[] {
    const explicit = this.explicit.get(lease);
    if (explicit !== undefined) return explicit;
    const { ms, ns } = this.one;
    this.write(lease, this.one, 0);
    const [sure, unsure, to, ends, doubted] = [1, 2, 3, 4, 6];
    this.boundsOrNever(this.end[lease], ends);
    this.boundsOrNever(this.throughout(lease) ? -1 : this.doubtful[lease], doubted);
    const isBefore = (i: number, k: number) => before(ms[i], ns[i], ms[k], ns[k]);
    const all: Window[] = [];
    for (let from = 0, next = to; isBefore(from, to); from = next) {
      next = to;
      for (const cut of [sure, unsure, ends, doubted]) if (isBefore(from, cut) && isBefore(cut, next)) next = cut;
      const early = isBefore(from, sure);
      all.push({
        fromMs: ms[from], fromNs: ns[from], toMs: ms[next], toNs: ns[next],
        unsure: early || !isBefore(from, unsure), partly: early || !isBefore(from, ends), use: !isBefore(from, doubted),
      });
    }
    return all;
  }

  private boundsOrNever(event: number, at: number): void {
    if (event >= 0) this.bounds(event, this.one, at);
    else this.one.ms[at] = Infinity;
  }

  private write(lease: number, span: Span, at: number): void {
    const { ms, ns } = span;
    this.bounds(this.start[lease], span, at);
    const end = this.end[lease];
    if (end < 0) {
      ms[at + 2] = this.told.ms;
      ns[at + 2] = this.told.ns;
      ms[at + 3] = this.open.ms;
      ns[at + 3] = this.open.ns;
    } else {
      this.bounds(end, span, at + 2);
    }
    const w = this.doubtful[lease];
    if (w >= 0) {
      const { effective, recorded } = this.events;
      const times = before(recorded.ms[w], recorded.ns[w], effective.ms[w], effective.ns[w]) ? recorded : effective;
      const last = times.ns[w] === 999_999; // the event's own instant is not in doubt, the next nanosecond is
      const doubtMs = times.ms[w] + (last ? 1 : 0);
      const doubtNs = last ? 0 : times.ns[w] + 1;
      if (before(doubtMs, doubtNs, ms[at + 2], ns[at + 2])) {
        ms[at + 2] = doubtMs;
        ns[at + 2] = doubtNs;
      }
    }
    if (this.throughout(lease)) {
      ms[at + 2] = ms[at];
      ns[at + 2] = ns[at];
    }
  }

  // bounds writes between which instants an event was, at most.
  private bounds(event: number, { ms, ns }: Span, at: number): void {
    const { effective, recorded, boot } = this.events;
    const effectiveMs = effective.ms[event];
    const effectiveNs = effective.ns[event];
    const recordedMs = recorded.ms[event];
    const recordedNs = recorded.ns[event];
    const errorMs = this.errorMs[boot[event]];
    const errorNs = this.errorNs[boot[event]];
    const borrow = effectiveNs < errorNs ? 1 : 0;
    const lowMs = effectiveMs - errorMs - borrow;
    const lowNs = effectiveNs - errorNs + borrow * 1e6;
    const isEarlier = before(recordedMs, recordedNs, lowMs, lowNs);
    ms[at] = isEarlier ? recordedMs : lowMs;
    ns[at] = isEarlier ? recordedNs : lowNs;
    const carry = effectiveNs + errorNs >= 1e6 ? 1 : 0;
    const highMs = effectiveMs + errorMs + carry;
    const highNs = effectiveNs + errorNs - carry * 1e6;
    const isLater = before(highMs, highNs, recordedMs, recordedNs);
    ms[at + 1] = isLater ? recordedMs : highMs;
    ns[at + 1] = isLater ? recordedNs : highNs;
  }
}

// before reports whether the first instant is before the second.
export function before(ms: number, ns: number, thanMs: number, thanNs: number): boolean {
  return ms < thanMs || (ms === thanMs && ns < thanNs);
}
