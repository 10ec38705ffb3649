import assert from "node:assert/strict";
import test from "node:test";
import { decode } from "../src/decode.ts";
import { binsOf, capacitiesOf, capacityOf, longestOf, nothingTold, rateOf, reusesOf, useOf } from "../src/figures.ts";
import type { View } from "../src/types.ts";
import { at, encode, row, type EventMade, type LeaseMade, type ViewMade } from "./encode.ts";

const base = 1_700_000_040_000_000_000n; // a whole minute
const second = 1_000_000_000n;

// viewOf makes a view of events at seconds since base, and of leases.
function viewOf(events: (Partial<EventMade> & { kind: number; s: number })[], leases: LeaseMade[], more: Partial<ViewMade> = {}): View {
  const made = {
    events: events.map((e, i) => ({ seq: i + 1, effective: base + BigInt(Math.round(e.s * 1000)) * 1_000_000n, ...e })),
    leases,
  };
  const last = events.reduce((s, e) => Math.max(s, e.s), 0);
  const view: ViewMade = {
    from: at(base), to: at(base + BigInt(last) * second), covered: at(base + BigInt(last) * second),
    boots: [{ id: "b0", max_error_ns: 0, synced: true }], texts: ["", "events are lost"],
    ranges: [{ start: "10.0.0.1", end: "10.0.0.254", subnet: "10.0.0.0/24", gateway: "10.0.0.1" }, { start: "fd00::", end: "fd00::ff", subnet: "fd00::/64", gateway: "10.0.0.2" }],
    changes: [{ known: true, partial: false, ranges: [0] }], rows: [row], made, ...more,
  };
  return decode(encode([view])).views[0];
}

const [add, del, refuse, imported, genesis, release] = [1, 2, 3, 5, 6, 8];

test("bins are whole multiples of a usual width, and cover the time", () => {
  const from = { ms: 1_700_000_000_123, ns: 5 };
  for (const span of [0, 1, 999, 60_000, 86_400_000, 40 * 86_400_000, 40 * 365 * 86_400_000]) {
    const to = { ms: from.ms + span, ns: 0 };
    const bins = binsOf(from, to, 300);
    assert.equal(bins.start % bins.width, 0);
    assert.ok(bins.start <= from.ms && bins.start + bins.count * bins.width > to.ms && bins.count <= 301, `${span}: ${JSON.stringify(bins)}`);
    assert.ok(bins.start + (bins.count - 1) * bins.width <= to.ms);
  }
});

test("leases in use, by the order of events, with what was held before the time shown", () => {
  const events = [{ kind: add, s: -50 }, { kind: genesis, s: 0 }, { kind: add, s: 1 }, { kind: add, s: 5 }, { kind: del, s: 5.5 }, { kind: del, s: 20 }, { kind: add, s: 21 }];
  const leases = [
    { address: "10.0.0.5", start: 0, end: 5 }, { address: "10.0.0.6", start: 2, end: 4 }, { address: "10.0.0.7", start: 3 }, { address: "10.0.0.8", start: 6 },
  ];
  const behind = { ...row, from: at(base + 21n * second + 1n), unknown: [1], candidates: [] }; // the time shown
  const view = viewOf(events, leases, { events: { count: 7, first: 1, last: 6 }, rows: [row, behind] });
  const use = useOf(view, { start: view.from.ms, width: 2000, count: 11 });
  assert.deepEqual([use.peak, view.events.seq[use.peakEvent]], [3, 4]);
  assert.deepEqual([...use.most], [2, 2, 3, 2, 2, 2, 2, 2, 2, 2, 2]);
  assert.deepEqual([...use.least], [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1]);
  assert.ok(use.capacity.every((c) => c === 253));
  assert.ok(use.unknown.every((u) => u === 0));
});

test("a clock that was set back shows what was held then, and the peak stays that of the order of events", () => {
  const events = [{ kind: add, s: 0 }, { kind: add, s: 9 }, { kind: add, s: 3 }, { kind: del, s: 4 }, { kind: genesis, s: 9 }];
  const view = viewOf(events, [{ address: "10.0.0.5", start: 0 }, { address: "10.0.0.6", start: 1 }, { address: "10.0.0.7", start: 2, end: 3 }]);
  const use = useOf(view, { start: view.from.ms, width: 3000, count: 4 });
  assert.deepEqual([use.peak, use.peakEvent], [3, 2]);
  assert.deepEqual([...use.most], [1, 3, 2, 2]);
});

test("leases end with their journal", () => {
  const events = [{ kind: add, s: 0 }, { kind: add, s: 1, journal: 1, seq: 1 }, { kind: add, s: 2, journal: 1, seq: 2 }];
  const journal = { id: "", node: "", dir: "", first_seq: 1, last_seq: 2, first_time: "", last_time: "2023-11-14T22:14:02Z", live: false };
  const view = viewOf(events, [{ address: "10.0.0.5", start: 0 }, { address: "10.0.0.6", start: 1 }, { address: "10.0.0.5", start: 2 }], { journals: [journal, journal] });
  assert.deepEqual([useOf(view, binsOf(view.from, view.to, 10)).peak, reusesOf(view).count], [2, 0]);
});

test("what is unknown has no value, and no capacity", () => {
  const rows = [row, { ...row, from: at(base + 3n * second), unknown: [1], candidates: [] }, { ...row, from: at(base + 7n * second), candidates: [-1] }, { ...row, from: at(base + 9n * second) }];
  const view = viewOf([{ kind: add, s: 0 }, { kind: genesis, s: 20 }], [{ address: "10.0.0.5", start: 0 }], { rows, covered: at(base + 15n * second) });
  const use = useOf(view, { start: view.from.ms, width: 2000, count: 11 });
  assert.deepEqual([...use.most], [1, 1, NaN, 1, 1, 1, 1, 1, NaN, NaN, NaN]);
  assert.deepEqual([...use.unknown], [0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1]);
  assert.deepEqual([...use.capacity], [253, NaN, NaN, NaN, 253, 253, 253, 253, 253, 253, 253]);
});

test("capacity leaves out gateways within their range", () => {
  const view = viewOf([{ kind: genesis, s: 0 }], []);
  assert.deepEqual([capacityOf(view, [0]), capacityOf(view, [1]), capacityOf(view, [0, 1])], [253, 256, 509]);
});

test("IPv4 and IPv6 are counted apart, when most can be given", () => {
  const ranges = [{ start: "10.0.0.2", end: "10.0.0.254", subnet: "10.0.0.0/24", gateway: "" }, { start: "fd00::1", end: "fd00::ffff:ffff:ffff:ffff", subnet: "fd00::/64", gateway: "" }];
  const changes = [[0, 1], [0]].map((of) => ({ known: true, partial: false, ranges: of }));
  const view = viewOf([{ kind: genesis, s: 0 }], [], { ranges, changes, rows: [row, { ...row, from: at(base + second), candidates: [1] }] });
  assert.deepEqual(capacitiesOf(view), { v4: 253, v6: 2 ** 64 });
});

test("nothing is told of a time that is unknown from end to end", () => {
  const told = (unknown: number[]) => {
    const view = viewOf([{ kind: genesis, s: 0 }], [], { rows: [{ ...row, unknown, candidates: [] }] });
    return nothingTold(useOf(view, binsOf(view.from, view.to, 10)));
  };
  assert.deepEqual([told([1]), told([])], [true, false]);
});

test("a journal may end at the last instant of all", () => {
  const last = "2262-04-11T23:47:16.854775807Z";
  const journals = [{ id: "", node: "", dir: "", first_seq: 1, last_seq: 1, first_time: last, last_time: last, live: false }];
  const view = viewOf([{ kind: add, s: 0 }], [{ address: "10.0.0.5", start: 0 }], { journals });
  assert.equal(longestOf(view, 1)[0].ms, 9_223_372_036_854 + 0.775807 - Number(base / 1_000_000n));
});

test("a DEL is what a runtime asked for; refusals are counted by cause", () => {
  const events = [{ kind: add, s: 0 }, { kind: add, s: 1 }, { kind: add, s: 2 }, { kind: del, s: 3 }, { kind: del, s: 4 }, { kind: release, s: 5 }, { kind: del, s: 6 },
    { kind: refuse, s: 7, code: 100 }, { kind: refuse, s: 7, code: 7 }, { kind: refuse, s: 8, code: 100 }, { kind: add, s: 30 }];
  const leases = [{ address: "10.0.0.5", start: 0, end: 3, reason: 1 }, { address: "10.0.0.6", start: 1, end: 4, reason: 2 }, { address: "10.0.0.7", start: 2, end: 5, reason: 3 }];
  const view = viewOf(events, leases, { to: at(base + 10n * second) });
  const rate = rateOf(view, { start: view.from.ms, width: 5000, count: 3 });
  assert.deepEqual(rate.totals, { adds: 3, dels: 2, refused: 3 });
  assert.deepEqual([[...rate.adds], [...rate.dels], [...rate.refused]], [[3, 0, 0], [1, 1, 0], [0, 3, 0]]);
  assert.deepEqual(rate.causes, [{ cause: "exhausted", count: 2 }, { cause: "other", count: 1 }]);
});

test("reuse is from the end of a lease to the ADD that gives the address next", () => {
  const boots = [{ id: "b0", max_error_ns: 3_000_000, synced: true }, { id: "b1", max_error_ns: 4_000_000, synced: true }, { id: "b2", max_error_ns: 0, synced: false }];
  const events = [
    { kind: add, s: 0 }, { kind: del, s: 1 }, { kind: add, s: 1.5 }, { kind: del, s: 2 }, { kind: add, s: 1.8 }, // 0.5 s, then by clocks the ADD came first
    { kind: del, s: 3 }, { kind: add, s: 3.005, boot: 1 }, // less than the error of both clocks
    { kind: del, s: 4, boot: 1 }, { kind: add, s: 9, boot: 2 }, // not synchronised
    { kind: del, s: 10, boot: 2 }, { kind: imported, s: 11, boot: 2 }, // no ADD
    { kind: del, s: 12, boot: 2 }, { kind: add, s: 62, boot: 2 }, { kind: add, s: 5, boot: 0 }, { kind: del, s: 6 }, { kind: add, s: 9 },
    { kind: del, s: 10 }, { kind: add, s: 11 },
  ];
  const one = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [12]].map(([start, end]) => ({ address: "10.0.0.5", start, end }));
  const view = viewOf(events, [...one, { address: "10.0.0.6", start: 13, end: 14 }, { address: "10.0.0.6", start: 15, end: 16 }, { address: "10.0.0.6", start: 17 }], { boots });
  const reuses = reusesOf(view);
  assert.deepEqual([reuses.count, reuses.negative, reuses.uncertain], [4, 1, 2]);
  assert.deepEqual([reuses.shortest, reuses.median, view.leases.of(reuses.shortestLease).startSeq], [500, 1000, 3]);
  assert.deepEqual(reuses.bins.filter((b) => b.count > 0), [{ from: 500, to: 1000, count: 1 }, { from: 1000, to: 2000, count: 1 }, { from: 2000, to: 5000, count: 1 }, { from: 30_000, to: 60_000, count: 1 }]);
});

test("the leases held longest come first, up to the last event where no end is recorded", () => {
  const events = [{ kind: add, s: 0 }, { kind: add, s: 1 }, { kind: del, s: 5 }, { kind: add, s: 6 }, { kind: genesis, s: 8 }];
  const journals = [{ id: "", node: "", dir: "", first_seq: 1, last_seq: 5, first_time: "", last_time: new Date(Number(base / 1_000_000n) + 8000).toISOString(), live: false }];
  const view = viewOf(events, [{ address: "10.0.0.5", start: 0, end: 2 }, { address: "10.0.0.6", start: 1 }, { address: "10.0.0.7", start: 3 }], { journals });
  assert.deepEqual(longestOf(view, 1), [{ lease: 1, ms: 7000, ended: false }]);
  assert.deepEqual(longestOf(view, 2), [{ lease: 1, ms: 7000, ended: false }, { lease: 0, ms: 5000, ended: true }]);
});
