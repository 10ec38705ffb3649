// What each address was held by, from instant to instant.

import type { AddressList } from "./address.ts";
import { before, type Spans, type Window } from "./windows.ts";

// Transitions are, for each address, the instants at which its lease changes, ascending. From instant i on, until the next
// one of the address, code[i] tells the lease: -1 none, else twice its index, and 1 more if that is sure. Of several
// leases it is the newest, and not sure.
export interface Transitions {
  readonly offsets: Uint32Array; // of the first one of each address, and behind the last address their count
  readonly ms: Float64Array;
  readonly ns: Uint32Array;
  readonly code: Int32Array;
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
  };
}

class Writer {
  count = 0;
  readonly ms: Float64Array;
  readonly ns: Uint32Array;
  readonly code: Int32Array;
  private readonly spans: Spans;
  private first = 0; // of the address

  constructor(spans: Spans, bound: number) {
    this.spans = spans;
    this.ms = new Float64Array(bound);
    this.ns = new Uint32Array(bound);
    this.code = new Int32Array(bound);
  }

  // address writes what an address was held by. Almost always a lease begins when the one before has surely ended; then
  // nothing has to be sorted.
  address(leases: Uint32Array): void {
    this.first = this.count;
    const s = this.spans;
    let i = 0;
    while (i < leases.length) {
      let to = i + 1;
      if (s.explicitOf(leases[i]) !== undefined) return this.sweepAll(leases);
      s.span(leases[i]);
      const { aMs, aNs, bMs, bNs, cMs, cNs } = s;
      let { dMs, dNs } = s;
      if (this.count > this.first && before(aMs, aNs, this.ms[this.count - 1], this.ns[this.count - 1])) return this.sweepAll(leases);
      for (; to < leases.length; to++) {
        if (s.explicitOf(leases[to]) !== undefined) return this.sweepAll(leases);
        s.span(leases[to]);
        if (!before(s.aMs, s.aNs, dMs, dNs)) break;
        if (before(s.aMs, s.aNs, aMs, aNs)) return this.sweepAll(leases);
        if (before(dMs, dNs, s.dMs, s.dNs)) [dMs, dNs] = [s.dMs, s.dNs];
      }
      if (to > i + 1) {
        this.sweep(leases.subarray(i, to));
      } else if (before(aMs, aNs, dMs, dNs)) {
        const code = leases[i] * 2;
        this.put(aMs, aNs, code);
        if (before(bMs, bNs, cMs, cNs)) {
          this.put(bMs, bNs, code + 1);
          this.put(cMs, cNs, code);
        }
        this.put(dMs, dNs, -1);
      }
      i = to;
    }
  }

  // sweepAll does all leases of an address anew.
  private sweepAll(leases: Uint32Array): void {
    this.count = this.first;
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
      this.put(ms, ns, newest < 0 ? -1 : newest * 2 + (sure ? 1 : 0));
    }
  }

  // put writes a transition. One at the same instant as the one before takes its place; one that changes nothing is left out.
  private put(ms: number, ns: number, code: number): void {
    if (ms === Infinity) return;
    if (this.count > this.first && this.ms[this.count - 1] === ms && this.ns[this.count - 1] === ns) this.count--;
    if (this.count > this.first ? this.code[this.count - 1] === code : code === -1) return;
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
