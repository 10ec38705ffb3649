// When a lease is in the table, and whether that is sure: docs/FORMAT.md has the rule.

import type { Events } from "./types.ts";

// Window is a time, "to" not included, in which a lease is in the table. Milliseconds may be infinite.
export interface Window {
  readonly fromMs: number;
  readonly fromNs: number;
  readonly toMs: number;
  readonly toNs: number;
  readonly unsure: boolean;
}

// Spans tells the windows of each lease.
export class Spans {
  // What span has found: the lease may be in the table from a and is from b on; it may be gone from c and is from d on.
  aMs = 0;
  aNs = 0;
  bMs = 0;
  bNs = 0;
  cMs = 0;
  cNs = 0;
  dMs = 0;
  dNs = 0;

  private readonly events: Events;
  private readonly errorMs: Float64Array; // by boot
  private readonly errorNs: Float64Array;
  private readonly start: Uint32Array;
  private readonly end: Int32Array;
  private readonly doubtful: Int32Array;
  private readonly throughout: (lease: number) => boolean;
  private readonly explicit: ReadonlyMap<number, readonly Window[]>;
  private readonly openMs: number;
  private readonly openNs: number;

  constructor(of: {
    events: Events;
    errors: readonly number[];
    start: Uint32Array;
    end: Int32Array;
    doubtful: Int32Array;
    throughout: (lease: number) => boolean;
    explicit: ReadonlyMap<number, readonly Window[]>;
    open: { readonly ms: number; readonly ns: number };
  }) {
    this.events = of.events;
    this.errorMs = Float64Array.from(of.errors, (ns) => Math.floor(ns / 1e6));
    this.errorNs = Float64Array.from(of.errors, (ns) => ns % 1e6);
    this.start = of.start;
    this.end = of.end;
    this.doubtful = of.doubtful;
    this.throughout = of.throughout;
    this.explicit = of.explicit;
    this.openMs = of.open.ms;
    this.openNs = of.open.ns;
  }

  // explicitOf returns the windows that do not follow from the events' times; undefined if they do.
  explicitOf(lease: number): readonly Window[] | undefined {
    return this.explicit.get(lease);
  }

  // isUnsure reports whether the lease is nowhere sure to have been in the table, for other reasons than clocks.
  isUnsure(lease: number): boolean {
    return this.throughout(lease) || this.explicit.has(lease);
  }

  span(lease: number): void {
    const { effective, recorded } = this.events;
    this.bounds(this.start[lease]);
    this.aMs = this.lowMs;
    this.aNs = this.lowNs;
    this.bMs = this.highMs;
    this.bNs = this.highNs;
    const end = this.end[lease];
    if (end < 0) {
      this.cMs = this.dMs = this.openMs;
      this.cNs = this.dNs = this.openNs;
    } else {
      this.bounds(end);
      this.cMs = this.lowMs;
      this.cNs = this.lowNs;
      this.dMs = this.highMs;
      this.dNs = this.highNs;
    }
    const w = this.doubtful[lease];
    if (w >= 0) {
      let [ms, ns] = [effective.ms[w], effective.ns[w]];
      if (before(recorded.ms[w], recorded.ns[w], ms, ns)) [ms, ns] = [recorded.ms[w], recorded.ns[w]];
      if (++ns === 1e6) [ms, ns] = [ms + 1, 0]; // the event's own instant is not in doubt
      if (before(ms, ns, this.cMs, this.cNs)) [this.cMs, this.cNs] = [ms, ns];
    }
    if (this.throughout(lease)) [this.cMs, this.cNs] = [this.aMs, this.aNs];
  }

  // windows returns all windows of a lease. It is slower than span.
  windows(lease: number): readonly Window[] {
    const explicit = this.explicit.get(lease);
    if (explicit !== undefined) return explicit;
    this.span(lease);
    const all: Window[] = [];
    const push = (fromMs: number, fromNs: number, toMs: number, toNs: number, unsure: boolean) => {
      if (before(fromMs, fromNs, toMs, toNs)) all.push({ fromMs, fromNs, toMs, toNs, unsure });
    };
    const { aMs, aNs, bMs, bNs, cMs, cNs, dMs, dNs } = this;
    if (!before(bMs, bNs, cMs, cNs)) {
      push(aMs, aNs, dMs, dNs, true);
      return all;
    }
    push(aMs, aNs, bMs, bNs, true);
    push(bMs, bNs, cMs, cNs, false);
    push(cMs, cNs, dMs, dNs, true);
    return all;
  }

  private lowMs = 0;
  private lowNs = 0;
  private highMs = 0;
  private highNs = 0;

  // bounds sets between which instants an event was, at most.
  private bounds(event: number): void {
    const { effective, recorded, boot } = this.events;
    const [ms, ns] = [effective.ms[event], effective.ns[event]];
    const [errorMs, errorNs] = [this.errorMs[boot[event]], this.errorNs[boot[event]]];
    this.lowMs = ms - errorMs;
    this.lowNs = ns - errorNs;
    if (this.lowNs < 0) {
      this.lowMs--;
      this.lowNs += 1e6;
    }
    this.highMs = ms + errorMs;
    this.highNs = ns + errorNs;
    if (this.highNs >= 1e6) {
      this.highMs++;
      this.highNs -= 1e6;
    }
    const [recordedMs, recordedNs] = [recorded.ms[event], recorded.ns[event]];
    if (before(recordedMs, recordedNs, this.lowMs, this.lowNs)) [this.lowMs, this.lowNs] = [recordedMs, recordedNs];
    if (before(this.highMs, this.highNs, recordedMs, recordedNs)) [this.highMs, this.highNs] = [recordedMs, recordedNs];
  }
}

// before reports whether the first instant is before the second.
export function before(ms: number, ns: number, thanMs: number, thanNs: number): boolean {
  return ms < thanMs || (ms === thanMs && ns < thanNs);
}
