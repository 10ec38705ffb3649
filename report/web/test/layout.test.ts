import assert from "node:assert/strict";
import test from "node:test";
import { addressOf, arrange, cellOf, cidrOf, labelOf, partOf, parts, placed, rowLabelOf, runs, textOf, valueOf } from "../src/layout.ts";
import type { View } from "../src/types.ts";

interface Net {
  ranges: [start: string, end: string, subnet: string, gateway: string][];
  leased: string[];
}

function view({ ranges, leased }: Net): View {
  const values = leased.map((text) => valueOf(text)!);
  return {
    ranges: ranges.map(([start, end, subnet, gateway]) => ({ start, end, subnet, gateway })),
    addresses: { count: leased.length, text: (i: number) => leased[i], value: (i: number) => values[i].value, is4: (i: number) => values[i].is4 },
  } as unknown as View;
}

// Every cell's address leads back to the cell, and each leased address is in one.
function check(of: View): ReturnType<typeof parts> {
  const all = parts(of, null);
  let first = 0;
  for (const part of all) {
    assert.equal(part.first, first);
    first += part.cells;
    for (let cell = 0; cell < part.cells; cell += Math.max(1, part.cells >> 9)) assert.equal(cellOf(part, part.is4, addressOf(part, cell)), cell);
  }
  assert.equal(placed(all, of.addresses).every((cell) => cell >= 0), true);
  return all;
}

test("a /16 has every address", () => {
  const [part, ...more] = check(view({ ranges: [["10.0.0.1", "10.0.255.254", "10.0.0.0/16", "10.0.0.1"]], leased: ["10.0.3.17", "10.0.255.254"] }));
  assert.equal(more.length, 0);
  assert.deepEqual([part.cells, part.shift, part.title], [65536, 0, "10.0.0.0/16"]);
  arrange([part], 1000, 700, 26);
  assert.deepEqual([part.columns, part.rows, part.size], [256, 256, 3]);
  assert.equal(labelOf(part, 3 * 256 + 17), "10.0.3.17");
  assert.equal(rowLabelOf(part, 3), "10.0.3.0");
});

test("a /8 has a cell for 256 addresses, and closer ones when zoomed in to", () => {
  const of = view({ ranges: [["10.0.0.1", "10.255.255.254", "10.0.0.0/8", ""]], leased: ["10.7.3.17"] });
  const [part] = check(of);
  assert.deepEqual([part.cells, part.shift], [65536, 8]);
  assert.equal(labelOf(part, cellOf(part, true, valueOf("10.7.3.17")!.value)), "10.7.3.0/24");
  const focus = { is4: true, base: valueOf("10.7.0.0")!.value, bits: 16 };
  assert.equal(cidrOf(focus), "10.7.0.0/16");
  const [closer] = parts(of, focus);
  assert.deepEqual([closer.cells, closer.shift, labelOf(closer, 0)], [65536, 0, "10.7.0.0"]);
});

test("a range within a /16 takes its own rows alone", () => {
  const [part] = check(view({ ranges: [["10.0.3.100", "10.0.3.199", "10.0.0.0/16", ""]], leased: ["10.0.3.100", "10.0.3.199"] }));
  arrange([part], 4000, 700, 26); // there is room for more columns, but rows would not begin at round addresses
  assert.deepEqual([part.cells, part.columns, rowLabelOf(part, 0), rowLabelOf(part, 1)], [128, 32, "10.0.3.96", "10.0.3.128"]);
});

test("of a /64 the blocks in use are there, and the gateway's", () => {
  const [part] = check(view({ ranges: [["fd00::1", "fd00::ffff:ffff:ffff:ffff", "fd00::/64", "fd00::1"]], leased: ["fd00::1:2", "fd00::1:3", "fd00::7:1"] }));
  assert.deepEqual([part.bases.length, part.cells, part.sparse], [3, 768, true]);
  arrange([part], 1000, 700, 26);
  assert.equal(rowLabelOf(part, (2 * 256) / part.columns), "fd00::7:0/120");
  assert.equal(cellOf(part, false, valueOf("fd00::2:0")!.value), -1);
});

test("several ranges come one after the other, overlapping ones as one, and what lies outside behind them", () => {
  const of = view({
    ranges: [
      ["10.0.0.10", "10.0.0.90", "10.0.0.0/24", ""],
      ["10.0.0.50", "10.0.0.200", "10.0.0.0/24", ""],
      ["10.9.0.10", "10.9.0.20", "10.9.0.0/24", ""],
      ["fd00::1", "fd00::ff", "fd00::/120", ""],
    ],
    leased: ["10.0.0.60", "192.168.7.7", "fd01::5"],
  });
  assert.deepEqual(
    check(of).map((part) => part.title),
    ["10.0.0.0/24", "10.9.0.0/24", "fd00::/120", "Addresses outside the ranges, IPv4", "Addresses outside the ranges, IPv6"],
  );
});

test("cells are alike up to where a range begins, ends or has its gateway", () => {
  const of = view({ ranges: [["10.0.0.10", "10.0.0.200", "10.0.0.0/24", "10.0.0.1"]], leased: [] });
  const all = parts(of, null);
  assert.deepEqual(
    runs(all, of).map((run) => run.probes[0]),
    ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.10", "10.0.0.201"],
  );
});

test("a cell of many addresses is asked at both of its ends, too", () => {
  const of = view({ ranges: [["10.0.0.10", "10.255.255.20", "10.0.0.0/8", "10.0.0.10"]], leased: [] });
  const first = runs(parts(of, null), of)[0];
  assert.deepEqual([...first.probes].sort(), ["10.0.0.0", "10.0.0.11", "10.0.0.255"]);
});

test("the work grows with the ranges, not with their square", () => {
  const many = 500;
  let asked = 0;
  const leased = Array.from({ length: many }, (_, i) => `10.${i >> 8}.${i & 255}.5`);
  const plain = view({ ranges: leased.map((a) => [a.replace(/5$/, "2"), a.replace(/5$/, "254"), a.replace(/5$/, "0/24"), a.replace(/5$/, "1")]), leased });
  const count = <T extends object>(of: T): T => new Proxy(of, { get: (target, name) => (asked++, Reflect.get(target, name)) });
  const of = { ranges: plain.ranges.map(count), addresses: count(plain.addresses) } as unknown as View;
  const all = parts(of, null);
  assert.equal(all.length, many);
  assert.equal(placed(all, of.addresses).every((cell, i) => cell === all[i].first + 5), true);
  assert.equal(runs(all, of).length, 4 * many); // network address, gateway, range, broadcast address
  assert(asked < 200 * many, `${asked} times`);
  assert.equal(partOf(all, all[77].first + 255), all[77]);
});

test("addresses as numbers and back", () => {
  for (const text of ["0.0.0.0", "10.0.3.17", "255.255.255.255", "::", "fd00::1:2"]) {
    const { is4, value } = valueOf(text)!;
    assert.equal(textOf(value, is4), text);
  }
  assert.equal(valueOf("10.0.0.256"), null);
});
