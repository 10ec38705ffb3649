// What one address was over all of the time that the page shows.

import { compare } from "./instant.ts";
import { cellOf, parsed, type Holding, type Source } from "./moment.ts";
import type { Cell, Instant, Stretch } from "./types.ts";

// Edge is an instant at which a lease begins or ends to hold the address; at which the rows change, if there is no lease.
interface Edge {
  readonly at: Instant;
  readonly holding: Holding | null;
  readonly begins: boolean;
}

// stretchesOf returns the course of an address.
export function stretchesOf(of: Source, address: string): readonly Stretch[] {
  const ip = parsed(address);
  const index = of.addresses.index(ip);
  const { from, to } = of.view;
  const edges = edgesOf(of, index);
  const open = new Set<Holding>();
  const stretches: Stretch[] = [];
  for (let i = 0, at = from; compare(at, to) <= 0; ) {
    for (; i < edges.length && compare(edges[i].at, at) <= 0; i++) {
      const { holding, begins } = edges[i];
      if (holding !== null && begins) open.add(holding);
      else if (holding !== null) open.delete(holding);
    }
    const holding = [...open].sort((x, y) => x.lease - y.lease);
    const cell = cellOf(of, ip, index, at, holding);
    if (stretches.length === 0 || !isSame(cell, stretches[stretches.length - 1].cell)) stretches.push({ from: at, cell });
    if (i === edges.length) break;
    at = edges[i].at;
  }
  return stretches;
}

function edgesOf(of: Source, index: number): Edge[] {
  const edges: Edge[] = [];
  for (const lease of index < 0 ? [] : of.addresses.leases(index)) {
    for (const window of of.spans.windows(lease)) {
      const holding = { lease, window };
      edges.push({ at: { ms: window.fromMs, ns: window.fromNs }, holding, begins: true });
      edges.push({ at: { ms: window.toMs, ns: window.toNs }, holding, begins: false });
    }
  }
  for (const { from } of [...of.course.rows, ...(of.course.own.get(index) ?? [])]) if (from !== null) edges.push({ at: from, holding: null, begins: true });
  return edges.sort((x, y) => compare(x.at, y.at));
}

function isSame(a: Cell, b: Cell): boolean {
  const list = (x: readonly unknown[], y: readonly unknown[]) => x.length === y.length && x.every((v, i) => v === y[i]);
  return a.state === b.state && a.sure === b.sure && list(a.leases, b.leases) && list(a.why, b.why);
}
