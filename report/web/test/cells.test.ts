import assert from "node:assert/strict";
import test from "node:test";
import { Cells } from "../src/cells.ts";
import { decode } from "../src/decode.ts";
import { parts, valueOf } from "../src/layout.ts";
import { Open } from "../src/open.ts";
import { Code } from "../src/paint.ts";
import { State, type Moment, type Selection, type View } from "../src/types.ts";
import { Happenings } from "../src/words.ts";
import { at, encode, row } from "./encode.ts";

interface Said {
  state: State;
  sure?: boolean;
}

// moment says of leased addresses what held has, and of all others what unheld answers.
function moment(view: View, held: readonly Said[], unheld: (value: bigint) => Said): Moment {
  return {
    view,
    instant: { ms: 100_000, ns: 0 },
    state: (i: number) => held[i].state,
    sure: (i: number) => held[i].sure ?? true,
    lease: (i: number) => (held[i].state === State.held ? i : -1),
    unheld: (text: string) => ({ sure: true, why: [], ...unheld(valueOf(text)!.value) }),
  } as unknown as Moment;
}

// view has one lease for each address, the n-th since second n of 1970.
function view(subnet: string, start: string, end: string, leased: readonly string[]): View {
  const values = leased.map((text) => valueOf(text)!);
  const ms = Float64Array.from(leased, (_, i) => i * 1000);
  return {
    ranges: [{ start, end, subnet, gateway: "" }],
    addresses: { count: leased.length, text: (i: number) => leased[i], value: (i: number) => values[i].value, is4: () => true },
    events: { effective: { ms, ns: new Uint32Array(leased.length) } },
    leases: { count: leased.length, start: Uint32Array.from(leased, (_, i) => i), address: Uint32Array.from(leased, (_, i) => i) },
  } as unknown as View;
}

function codes(of: View, held: readonly Said[], unheld: (value: bigint) => Said, by: Selection["colour"] = "state"): (ip: string) => number {
  const cells = new Cells(parts(of, null), of);
  cells.read(moment(of, held, unheld), by);
  return (ip) => cells.codes[cells.cell(ip)];
}

const free = (): Said => ({ state: State.free });

test("each address says its state, and whether it is certain", () => {
  const of = view("10.0.0.0/24", "10.0.0.2", "10.0.0.254", ["10.0.0.5", "10.0.0.6", "10.0.0.7"]);
  const code = codes(of, [{ state: State.held }, { state: State.held, sure: false }, { state: State.cooling }], free);
  assert.deepEqual(["10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8"].map(code), [2 * State.held, 2 * State.held + 1, 2 * State.cooling, 2 * State.free]);
});

test("what is unknown stays so, whatever cells are coloured by", () => {
  const of = view("10.0.0.0/24", "10.0.0.2", "10.0.0.254", ["10.0.0.5", "10.0.0.6"]);
  for (const by of ["state", "age", "churn"] as const) {
    const code = codes(of, [{ state: State.unknown }, { state: State.held }], () => ({ state: State.unknown }), by);
    assert.deepEqual([code("10.0.0.5"), code("10.0.0.200")], [0, 0]);
  }
});

test("age and churn go by bins", () => {
  const of = view("10.0.0.0/24", "10.0.0.2", "10.0.0.254", ["10.0.0.5", "10.0.0.6"]);
  const held = [{ state: State.held }, { state: State.held, sure: false }];
  assert.deepEqual(["10.0.0.5", "10.0.0.6"].map(codes(of, held, free, "age")), [Code.age + 2, Code.age + 3]); // 100 s and 99 s
  assert.deepEqual(["10.0.0.5", "10.0.0.6"].map(codes(of, held, free, "churn")), [Code.churn, Code.churn + 1]);
});

test("the legend counts cells by what they show", () => {
  const of = view("10.0.0.0/24", "10.0.0.0", "10.0.0.255", ["10.0.0.5", "10.0.0.6", "10.0.0.7"]);
  const cells = new Cells(parts(of, null), of);
  const at = moment(of, [{ state: State.held }, { state: State.held, sure: false }, { state: State.free }], free);
  const counts = (by: Selection["colour"]) => {
    cells.read(at, by);
    return Object.fromEntries([...cells.counts.entries()].filter(([, n]) => n > 0));
  };
  assert.deepEqual(counts("state"), { [2 * State.held]: 1, [2 * State.held + 1]: 1, [2 * State.free]: 254 });
  assert.deepEqual(counts("churn"), { [Code.churn]: 2, [Code.churn + 1]: 1, [2 * State.free]: 253 });
});

test("of many addresses a cell says how many are held, and never that they are free where one is unknown", () => {
  const of = view("10.0.0.0/8", "10.0.0.0", "10.255.255.255", ["10.1.0.5", "10.2.0.5", "10.3.0.5"]);
  const held: Said[] = [{ state: State.held }, { state: State.unknown }, { state: State.cooling }];
  const code = codes(of, held, free);
  assert.deepEqual(["10.1.0.9", "10.2.0.9", "10.3.0.9", "10.4.0.9"].map(code), [Code.share + 2, 0, 2 * State.free, 2 * State.free]);
  const dark = codes(of, held, () => ({ state: State.unknown }));
  assert.deepEqual(["10.1.0.9", "10.4.0.9"].map(dark), [Code.unknownShare + 2, 0]);
});

test("a block is as busy as its busiest address, and as old as its oldest lease", () => {
  const leased = ["10.1.0.5", "10.1.0.5", "10.1.0.5", "10.1.0.6", "10.1.0.7", "10.2.0.5"];
  const addresses = [...new Set(leased)];
  const of = view("10.0.0.0/8", "10.0.0.0", "10.255.255.255", addresses);
  const address = leased.map((ip) => addresses.indexOf(ip));
  const start = Uint32Array.from(leased, (_, i) => i); // seconds
  const leases = { count: leased.length, start, address: Uint32Array.from(address), of: (i: number) => ({ start: { ms: i * 1000, ns: 0 } }) };
  Object.assign(of, { leases, events: { effective: { ms: start.map((s) => s * 1000), ns: new Uint32Array(leased.length) } } });
  const cells = new Cells(parts(of, null), of);
  const held: Said[] = [{ state: State.free }, { state: State.held }, { state: State.held }, { state: State.held }];
  const at = { ...moment(of, held, free), instant: { ms: 63_500, ns: 0 }, lease: (i: number) => [-1, 3, 4, 5][i] } as unknown as Moment;
  const told = (by: Selection["colour"]) => {
    cells.read(at, by);
    return ["10.1.0.9", "10.2.0.9", "10.3.0.9"].map((ip) => [cells.codes[cells.cell(ip)], cells.top(cells.cell(ip), at, by)]);
  };
  assert.deepEqual(told("churn"), [
    [Code.share + 2 * 2, "busiest of the block: 10.1.0.5, 3 leases so far"], // though nobody holds it
    [Code.share, "busiest of the block: 10.2.0.5, 1 lease so far"],
    [2 * State.free, ""],
  ]);
  assert.deepEqual(told("age"), [
    [Code.share + 2, "oldest lease of the block: 10.1.0.6, since 1970-01-01T00:00:03.000000000Z"], // 60.5 s, and 59.5 s beside it
    [Code.share, "oldest lease of the block: 10.2.0.5, since 1970-01-01T00:00:05.000000000Z"],
    [2 * State.free, ""],
  ]);
  assert.equal(told("state")[0][1], "");
});

test("an address with a fate of its own doesn't stand for those beside it", () => {
  const ranges = [{ start: "10.0.0.2", end: "10.0.0.254", subnet: "10.0.0.0/24", gateway: "" }];
  const made = { events: [], leases: [], addresses: ["10.0.0.2"] }; // the first one of the range, which all others are drawn like
  const lost = { ...row, unknown: [0] };
  const of = (all: typeof row, own: typeof row): View =>
    decode(encode([{ made, ranges, texts: ["events are lost"], rows: [all], own: [{ address: 0, rows: [own] }] }])).views[0];
  for (const [view, first, others, unknown] of [[of(row, lost), State.unknown, State.free, 1], [of(lost, row), State.free, State.unknown, 255]] as const) {
    const cells = new Cells(parts(view, null), view);
    cells.read(view.at(), "state");
    assert.deepEqual(["10.0.0.2", "10.0.0.3", "10.0.0.200"].map((ip) => cells.codes[cells.cell(ip)]), [2 * first, 2 * others, 2 * others]);
    assert.equal(cells.counts[0], unknown);
    const open = new Open(view);
    assert.equal(open.at(view.at()).unknown, unknown);
    assert.equal(open.next(view.at(), ""), unknown === 1 ? "10.0.0.2" : "10.0.0.0");
    assert.equal(open.next(view.at(), "10.0.0.0"), unknown === 1 ? "10.0.0.2" : "10.0.0.3"); // that was never leased
  }
});

test("a range's edge within a cell of many: unknown outside is unknown", () => {
  const of = view("10.0.0.0/8", "10.0.0.10", "10.255.255.255", []);
  const first = valueOf("10.0.0.10")!.value;
  const code = codes(of, [], (value) => ({ state: value < first ? State.unknown : State.free }));
  assert.deepEqual([code("10.0.0.77"), code("10.0.1.0")], [0, 2 * State.free]);
});

test("events say what they did to leases", () => {
  const ns = (s: number): bigint => 1_793_664_000_000_000_000n + BigInt(s) * 1_000_000_000n;
  const made = {
    events: [
      { seq: 1, kind: 6, effective: ns(0) },
      { seq: 2, kind: 1, effective: ns(1) },
      { seq: 3, kind: 3, code: 100, effective: ns(2) },
      { seq: 4, kind: 2, effective: ns(3) },
    ],
    leases: [
      { address: "10.0.0.5", start: 1, end: 3, container: "c", pod: ["shop", "a\u202eb"] as [string, string] },
      { address: "fd00::5", start: 1, end: 3, container: "c", pod: ["shop", "a\u202eb"] as [string, string] },
    ],
  };
  const [of] = decode(encode([{ made, from: at(ns(0)), to: at(ns(9)) }])).views;
  const told = new Happenings(of);
  assert.deepEqual(
    [0, 1, 2, 3].map((e) => told.say(e)),
    [
      "event 1: genesis",
      "event 2: add 10.0.0.5, fd00::5, pod shop/a\\u202eb",
      "event 3: refuse, CNI error code 100",
      "event 4: del 10.0.0.5, fd00::5, pod shop/a\\u202eb",
    ],
  );
});
