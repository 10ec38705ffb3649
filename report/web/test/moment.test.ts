import assert from "node:assert/strict";
import test from "node:test";
import { compareAddresses, parseAddress } from "../src/address.ts";
import { decode } from "../src/decode.ts";
import { whetherHeld } from "../src/doubts.ts";
import type { At, RowData } from "../src/header.ts";
import { add, compare } from "../src/instant.ts";
import { State, type Moment } from "../src/types.ts";
import { at, encode, row, type EventMade, type LeaseMade, type ViewMade } from "./encode.ts";

// random returns whole numbers below a limit, the same ones each time.
function random(seed: number): (below: number) => number {
  let s = seed;
  return (below) => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return Math.floor((s / 2 ** 32) * below);
  };
}

const min = (...all: bigint[]) => all.reduce((a, b) => (b < a ? b : a));
const max = (...all: bigint[]) => all.reduce((a, b) => (b > a ? b : a));
const ever = 1n << 70n;

// boundsOf is between which instants an event was.
function boundsOf(view: ViewMade, i: number): { low: bigint; high: bigint; first: bigint } {
  const e = view.made.events[i];
  const error = BigInt(view.boots![e.boot ?? 0].max_error_ns);
  const recorded = e.recorded ?? e.effective;
  return { low: min(recorded, e.effective - error), high: max(recorded, e.effective + error), first: min(recorded, e.effective) };
}

// windowsOf is the rule of docs/FORMAT.md in nanoseconds.
function windowsOf(view: ViewMade, lease: LeaseMade): [bigint, bigint, boolean][] {
  if (lease.windows) return lease.windows.map(([from, to, unsure]) => [from ?? -ever, to ?? ever, unsure]);
  const event = (i: number) => boundsOf(view, i);
  const start = event(lease.start);
  const nanos = ([ms, ns]: At) => BigInt(ms) * 1_000_000n + BigInt(ns);
  const open = view.open_to ? nanos(view.open_to) : ever;
  const end = lease.end === undefined ? { low: min(open, view.covered ? nanos(view.covered) + 1n : open), high: open } : event(lease.end);
  const [a, b, d] = [start.low, start.high, end.high];
  let c = end.low;
  if (lease.doubtful !== undefined) c = min(c, event(lease.doubtful).first + 1n);
  if (lease.flags === 2) c = a;
  const all: [bigint, bigint, boolean][] = [[a, min(b, d), true], [b, c, false], [max(b, c), d, true]];
  return all.filter(([from, to]) => from < to);
}

// doubtsOf is what is said of a lease at an instant, likewise.
function doubtsOf(view: ViewMade, lease: LeaseMade, t: bigint, several: boolean): string[] {
  const window = lease.windows?.find(([from, to]) => (from ?? -ever) <= t && t < (to ?? ever));
  const [, , , partly, use] = window ?? [
    null, null, false,
    t < boundsOf(view, lease.start).high || (lease.end !== undefined && t >= boundsOf(view, lease.end).low),
    lease.doubtful !== undefined && lease.flags !== 2 && t >= boundsOf(view, lease.doubtful).low,
  ];
  const said = (lease.then ?? lease.doubts ?? []).filter((_, i) => use || i + 1 !== lease.use);
  return partly || several ? [...said, whetherHeld] : said;
}

function stateIn(view: ViewMade, change: number, address: string): State {
  const c = view.changes![change];
  if (change < 0 || !c.known) return State.unknown;
  const ip = parseAddress(address)!;
  const ranges = c.ranges.map((i) => view.ranges![i]);
  if (ranges.some((r) => r.gateway === address)) return State.gateway;
  const inside = ranges.some((r) => compareAddresses(parseAddress(r.start)!, ip) <= 0 && compareAddresses(ip, parseAddress(r.end)!) <= 0);
  return inside ? State.free : c.partial ? State.unknown : State.notOurs;
}

function rowOf(rows: RowData[], t: bigint): RowData | undefined {
  return rows.findLast((r) => r.from === null || BigInt(r.from[0]) * 1_000_000n + BigInt(r.from[1]) <= t);
}

// told says what an address is at an instant, by docs/FORMAT.md.
function told(view: ViewMade, addresses: string[], address: string, t: bigint): { state: State; sure: boolean; leases: number[] } {
  const leases: number[] = [];
  let unsure = false;
  view.made.leases.forEach((l, i) => {
    if (l.address !== address) return;
    const now = windowsOf(view, l).filter(([from, to]) => from <= t && t < to);
    if (now.length === 0) return;
    leases.push(i);
    unsure ||= now[0][2];
  });
  if (leases.length > 0) return { state: State.held, sure: leases.length === 1 && !unsure, leases };
  const own = view.own!.find((o) => addresses[o.address] === address);
  const r = (own && rowOf(own.rows, t)) ?? rowOf(view.rows!, t)!;
  if (r.unknown.length > 0) return { state: State.unknown, sure: true, leases };
  const candidates = r.candidates.map((c) => stateIn(view, c, address));
  if (candidates.includes(State.unknown)) return { state: State.unknown, sure: true, leases };
  const all = [...candidates, ...r.possible.map((c) => stateIn(view, c, address))];
  return { state: all[0], sure: all.every((s) => s === all[0]) && r.maybe.length === 0, leases };
}

// drawn makes a view of a few addresses with all that can be odd: clocks set back, large errors, leases that overlap.
function drawn(seed: number): ViewMade {
  const r = random(seed);
  const base = 1_700_000_000_123_000_001n; // with an error of 999,999 ns, a whole millisecond
  const boots = [0, 1, 999_999, 1_000_000, 2_500_001].map((e, i) => ({ id: `b${i}`, max_error_ns: e, synced: true }));
  const events: EventMade[] = [];
  for (let i = 0, t = base, boot = 0, off = 0n; i < 60; i++) {
    t += BigInt(r(4)) * [1n, 700_000n, 3_000_000n][r(3)];
    if (r(12) === 0) {
      boot = r(boots.length);
      off = BigInt(r(3) - 1) * BigInt(r(5_000_000));
      if (r(3) === 0) t -= BigInt(r(20_000_000));
    }
    events.push({ seq: i + 1, kind: 1, effective: t, recorded: t + off, boot });
  }
  const addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.9", "10.0.1.1", "2001:db8::2", "2001:db8::ffff:1"];
  const leases: LeaseMade[] = [];
  const free = new Map(addresses.map((a) => [a, 0]));
  for (let i = 0; i < 55; i++) {
    const address = addresses[r(addresses.length)];
    if (r(3) === 0 || (r(10) > 0 && i < free.get(address)!)) continue;
    const l: LeaseMade = { address, start: i };
    if (r(6) > 0) free.set(address, (l.end = Math.min(59, i + r(12))));
    else free.set(address, 60);
    if (r(5) === 0) Object.assign(l, { doubtful: Math.min(59, i + r(6)), doubts: ["begun", "its use", "ended"], then: ["begun", "its use then"].slice(r(2)), use: 1 + r(2) });
    if (r(9) === 0) l.flags = 2;
    if (r(12) === 0) l.windows = [[r(4) === 0 ? null : base - 5n, base + BigInt(r(9_000_000)), true], [base + 9_000_000n, r(3) === 0 ? null : base + 90_000_000n, r(2) === 0]];
    leases.push(l);
  }
  const draw = (from: bigint | null): RowData => ({
    ...row, from: from === null ? null : at(from), doubts: [1], steps: r(3) === 0 ? undefined : [0, 1 + r(3)], unknown: r(6) === 0 ? [1] : [], maybe: r(6) === 0 ? [1] : [],
    candidates: Array.from({ length: r(3) }, () => r(5) - 1), possible: Array.from({ length: 1 + r(2) }, () => r(5) - 1),
  });
  const rows = (count: number) => [null, ...Array.from({ length: count }, (_, i) => base + BigInt(i) * 11_000_000n + 1n)].map(draw);
  const used = [...new Set(leases.map((l) => l.address))];
  return {
    texts: ["", "events are lost", "a step", "another", "and another"], steps: [5, 20, 40].map((seq, i) => ({ seq, doubt: 2 + i })), boots, from: at(base + 1_000_000n), to: at(base + 60_000_000n),
    covered: r(3) === 0 ? null : at(base + 49_999_999n + BigInt(r(3)) * 12_000_000n), open_to: r(2) === 0 ? null : at(base + 70_000_000n), rows: rows(6),
    own: used.length > 2 ? [{ address: r(used.length), rows: r(2) === 0 ? rows(3) : rows(3).slice(1) }] : [],
    ranges: [
      { start: "10.0.0.2", end: "10.0.0.9", subnet: "10.0.0.0/24", gateway: "10.0.0.1" },
      { start: "10.0.0.0", end: "10.0.255.255", subnet: "10.0.0.0/16", gateway: "10.0.1.1" },
      { start: "2001:db8::1", end: "2001:db8::ffff", subnet: "2001:db8::/64", gateway: "" },
    ],
    changes: [{ known: true, partial: false, ranges: [0, 2] }, { known: true, partial: true, ranges: [0] }, { known: false, partial: false, ranges: [] }, { known: true, partial: false, ranges: [1, 0] }],
    made: { events, leases },
  };
}

function compareAll(moment: Moment, view: ViewMade, addresses: string[], t: bigint, seed: number): void {
  let [held, unsure, oldest] = [0, 0, Infinity];
  [...addresses, "10.0.0.3", "10.0.0.77", "10.1.0.0", "2001:db8::7", "2001:db9::"].forEach((address, i) => {
    const want = told(view, addresses, address, t);
    const cell = moment.cell(address);
    const where = `${address} at ${t} of view ${seed}`;
    assert.deepEqual({ state: cell.state, sure: cell.sure, leases: cell.leases }, want, where);
    assert.equal(cell.why.length > 0, !want.sure || (want.state === State.unknown && cell.leases.length === 0), where + ": why");
    const said = want.leases.map((l) => doubtsOf(view, view.made.leases[l], t, want.leases.length > 1));
    assert.deepEqual(moment.doubtsOf(address), said, where + ": doubts");
    for (const text of want.sure ? [] : cell.leases.length > 1 ? said.flat() : said[0] ?? []) assert(cell.why.includes(text), where + ": why not " + text);
    for (const l of want.leases) oldest = Math.min(oldest, view.made.events[view.made.leases[l].start].seq);
    if (want.leases.length > 0) held++;
    if (want.leases.length > 0 && !want.sure) unsure++;
    if (i >= addresses.length) return;
    const lease = want.leases.length > 0 ? Math.max(...want.leases) : -1;
    assert.deepEqual([moment.state(i), moment.sure(i), moment.lease(i)], [want.state, want.sure, lease], where);
  });
  const steps = rowOf(view.rows!, t)!.steps ?? [0, 0];
  assert.deepEqual(moment.doubts, ["events are lost", ...view.steps!.slice(...steps).filter((s) => oldest <= s.seq).map((s) => view.texts![s.doubt])]);
  assert.equal(moment.held, held);
  assert.equal(moment.certainty, unsure > 0 ? "uncertain" : "certain");
}

test("states are those of the rule, at all boundaries and next to them, forwards, backwards and by leaps", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const view = drawn(seed);
    const decoded = decode(encode([view])).views[0];
    const addresses = Array.from({ length: decoded.addresses.count }, (_, i) => decoded.addresses.text(i));
    const instants = new Set<bigint>();
    for (const l of view.made.leases) {
      for (const [from, to] of windowsOf(view, l)) for (const t of [from, to]) if (t > -ever && t < ever) [t - 1n, t, t + 1n].forEach((i) => instants.add(i));
    }
    for (const r of [...view.rows!, ...view.own!.flatMap((o) => o.rows)]) if (r.from) [0n, -1n].forEach((d) => instants.add(BigInt(r.from![0]) * 1_000_000n + BigInt(r.from![1]) + d));
    const sorted = [...instants].sort((a, b) => (a < b ? -1 : 1));
    const moment = decoded.at();
    const go = (t: bigint) => {
      const [ms, ns] = at(t);
      moment.move({ ms, ns });
      compareAll(moment, view, addresses, t, seed);
    };
    sorted.forEach(go);
    sorted.reverse().forEach(go);
    const r = random(seed);
    for (let i = 0; i < 50; i++) go(sorted[r(sorted.length)]);
  }
});

test("the course of an address is its cells, from one change to the next", () => {
  let stretches = 0;
  for (let seed = 1; seed <= 15; seed++) {
    const view = drawn(seed);
    const decoded = decode(encode([view])).views[0];
    const moment = decoded.at();
    for (const address of ["10.0.0.1", "10.0.0.2", "10.0.0.9", "10.0.0.77", "2001:db8::2"]) {
      const course = decoded.course(address);
      stretches += course.length;
      assert.deepEqual(course[0].from, decoded.from);
      course.forEach(({ from, cell }, i) => {
        moment.move(from);
        assert.deepEqual(cell, moment.cell(address));
        const end = course[i + 1]?.from ?? add(decoded.to, 1);
        moment.move(add(end, -1)); // the last instant of the stretch
        assert.deepEqual(cell, moment.cell(address));
        if (i > 0) assert(compare(course[i - 1].from, from) < 0);
      });
      for (let i = 0; i < 200; i++) {
        const t = add(decoded.from, i * 295_001);
        moment.move(t);
        assert.deepEqual(course.findLast(({ from }) => compare(from, t) <= 0)!.cell, moment.cell(address));
      }
    }
  }
  assert(stretches > 300);
});

test("an address that is none is refused", () => {
  const view = decode(encode([drawn(1)])).views[0];
  assert.throws(() => view.at().cell("10.0.0"), /"10\.0\.0" is no address/);
  assert.throws(() => view.course("::ffff:10.0.0.1"), /is no address/);
});

test("a doubt of a free address is said as leasectl words it, and once", () => {
  const lost = "events of journal j1 are lost, at most 1: an address given in them may be in use here and not be known as held";
  const view = decode(encode([{ texts: ["", lost], rows: [{ ...row, maybe: [1] }], made: { events: [], leases: [] } }])).views[0];
  assert.deepEqual(view.at().cell("10.0.0.99"), { state: State.free, sure: false, leases: [], why: [lost] });
});
