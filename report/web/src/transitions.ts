// What each address was held by, from instant to instant.

import type { AddressList } from "./address.ts";
import { before, type Span, type Spans, type Window } from "./windows.ts";

// Transitions are, for each address, the instants at which its lease changes, ascending. From instant i on, until the next
// one of the address, code[i] tells the lease: -1 none, else twice its index, and 1 more if that is sure. Of several
// leases it is the newest, and not sure.
export interface Transitions {
  readonly offsets: Uint32Array; // of the first one of each address, and behind the last address their count
  readonly ms: Float64Array;
  readonly ns: Uint32Array;
  readonly code: Int32Array;
  readonly oldest: ReadonlyMap<number, number>; // of a transition with several leases, the oldest one
}

// Edge is where a window begins or ends.
interface Edge {
  readonly ms: number;
  readonly ns: number;
  readonly lease: number;
  readonly unsure: boolean;
  readonly opens: boolean;
}

// transitionsOf computes them from the windows of the leases.
export function transitionsOf(addresses: AddressList, spans: Spans, bound: number): Transitions {
  const writer = new Writer(spans, bound);
  const offsets = new Uint32Array(addresses.count + 1);
  for (let i = 0; i < addresses.count; i++) {
    writer.address(addresses.leases(i));
    offsets[i + 1] = writer.count;
  }
  return {
    offsets,
    ms: writer.ms.subarray(0, writer.count),
    ns: writer.ns.subarray(0, writer.count),
    code: writer.code.subarray(0, writer.count),
    oldest: writer.oldest,
  };
}

class Writer {
  count = 0;
  readonly ms: Float64Array;
  readonly ns: Uint32Array;
  readonly code: Int32Array;
  readonly oldest = new Map<number, number>();
  private readonly spans: Spans;
  private readonly span: Span;
  private first = 0; // of the address

  constructor(spans: Spans, bound: number) {
    this.spans = spans;
    this.span = spans.all();
    this.ms = new Float64Array(bound);
    this.ns = new Uint32Array(bound);
    this.code = new Int32Array(bound);
  }

  // address writes what an address was held by. Almost always a lease begins when the one before has surely ended; then
  // nothing has to be sorted.
  address(leases: Uint32Array): void {
    this.first = this.count;
    const { ms, ns } = this.span;
    let i = 0;
    while (i < leases.length) {
      if (this.spans.explicitOf(leases[i]) !== undefined) return this.sweepAll(leases);
      const at = 4 * leases[i]; // of its first instant; the fourth one is at + 3
      if (this.count > this.first && before(ms[at], ns[at], this.ms[this.count - 1], this.ns[this.count - 1])) return this.sweepAll(leases);
      let last = at + 3;
      let to = i + 1;
      for (; to < leases.length; to++) {
        if (this.spans.explicitOf(leases[to]) !== undefined) return this.sweepAll(leases);
        const next = 4 * leases[to];
        if (!before(ms[next], ns[next], ms[last], ns[last])) break;
        if (before(ms[next], ns[next], ms[at], ns[at])) return this.sweepAll(leases);
        if (before(ms[last], ns[last], ms[next + 3], ns[next + 3])) last = next + 3;
      }
      if (to > i + 1) this.sweep(leases.subarray(i, to));
      else this.alone(leases[i], at);
      i = to;
    }
  }

  // alone writes a lease that no other one meets.
  private alone(lease: number, at: number): void {
    const { ms, ns } = this.span;
    if (!before(ms[at], ns[at], ms[at + 3], ns[at + 3])) return;
    this.put(ms[at], ns[at], lease * 2);
    if (before(ms[at + 1], ns[at + 1], ms[at + 2], ns[at + 2])) {
      this.put(ms[at + 1], ns[at + 1], lease * 2 + 1);
      this.put(ms[at + 2], ns[at + 2], lease * 2);
    }
    this.put(ms[at + 3], ns[at + 3], -1);
  }

  // sweepAll does all leases of an address anew.
  private sweepAll(leases: Uint32Array): void {
    for (; this.count > this.first; this.count--) this.oldest.delete(this.count - 1);
    this.sweep(leases);
  }

  // sweep writes leases whose windows may overlap.
  private sweep(leases: Uint32Array): void {
    const edges: Edge[] = [];
    for (const lease of leases) {
      for (const w of this.spans.windows(lease)) {
        edges.push({ ms: w.fromMs, ns: w.fromNs, lease, unsure: w.unsure, opens: true });
        edges.push({ ms: w.toMs, ns: w.toNs, lease, unsure: w.unsure, opens: false });
      }
    }
    edges.sort((x, y) => (x.ms === y.ms ? x.ns - y.ns : x.ms - y.ms));
    const open: Edge[] = [];
    for (let i = 0; i < edges.length; ) {
      const { ms, ns } = edges[i];
      for (; i < edges.length && edges[i].ms === ms && edges[i].ns === ns; i++) {
        const edge = edges[i];
        if (edge.opens) open.push(edge);
        else open.splice(open.findIndex((o) => o.lease === edge.lease && o.unsure === edge.unsure), 1);
      }
      let newest = -1;
      for (const o of open) newest = Math.max(newest, o.lease);
      const sure = newest >= 0 && open.every((o) => o.lease === newest && !o.unsure);
      const oldest = open.reduce((lease, o) => Math.min(lease, o.lease), newest);
      this.put(ms, ns, newest < 0 ? -1 : newest * 2 + (sure ? 1 : 0), oldest === newest ? undefined : oldest);
    }
  }

  // put writes a transition. One at the same instant as the one before takes its place; one that changes nothing is left out.
  private put(ms: number, ns: number, code: number, oldest?: number): void {
    if (ms === Infinity) return;
    if (this.count > this.first && this.ms[this.count - 1] === ms && this.ns[this.count - 1] === ns) this.oldest.delete(--this.count);
    const last = this.count - 1;
    if (this.count > this.first ? this.code[last] === code && this.oldest.get(last) === oldest : code === -1) return;
    if (oldest !== undefined) this.oldest.set(this.count, oldest);
    this.ms[this.count] = ms;
    this.ns[this.count] = ns;
    this.code[this.count] = code;
    this.count++;
  }
}

// bound returns how many transitions there are at most.
export function transitionBound(leases: number, explicit: ReadonlyMap<number, readonly Window[]>): number {
  let bound = leases * 4;
  for (const windows of explicit.values()) bound += windows.length * 2;
  return bound;
}
