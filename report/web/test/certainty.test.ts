import assert from "node:assert/strict";
import test from "node:test";
import { wordsOf } from "../src/certainty.ts";
import { decode } from "../src/decode.ts";
import { Open } from "../src/open.ts";
import type { View } from "../src/types.ts";
import { at, encode, row, type ViewMade } from "./encode.ts";

const second = 1_000_000_000n;
const begin = 1_793_664_000n * second; // 2026-11-03T00:00:00Z
const from = (seconds: bigint) => at(begin + seconds * second);

// Nothing is known for ten seconds; then two leases begin, of which the second becomes uncertain after ten more, and the third is
// lost then.
function view(change: Partial<ViewMade> = {}): View {
  const events = [10n, 10n].map((seconds, i) => ({ seq: i + 1, kind: 1, effective: begin + seconds * second }));
  const leases = [
    { address: "10.0.0.5", start: 0, container: "a" },
    { address: "10.0.0.7", start: 1, container: "b", doubts: ["it may have ended"],
      windows: [[begin + 10n * second, begin + 20n * second, false], [begin + 20n * second, null, true]] as [bigint, bigint | null, boolean][] },
  ];
  return decode(encode([{
    made: { events, leases, addresses: ["10.0.0.9"] }, from: from(0n), to: from(60n), covered: from(60n), texts: ["", "ranges are not recorded", "events are lost"],
    rows: [{ ...row, unknown: [1] }, { ...row, from: from(10n) }],
    own: [{ address: 2, rows: [{ ...row, unknown: [1] }, { ...row, from: from(10n) }, { ...row, from: from(30n), unknown: [2] }] }], ...change,
  }])).views[0];
}

const words = (of: View, seconds: bigint) => {
  const moment = of.at();
  const [ms, ns] = from(seconds);
  moment.move({ ms, ns });
  return { moment, ...wordsOf(moment, new Open(of)) };
};

test("the band never calls certain what is unknown, and says why it is", () => {
  const of = view();
  const none = words(of, 5n);
  assert.deepEqual([none.class, none.head, none.lines, none.leads], ["band bad", "Unknown: 0 addresses held; 256 unknown", ["ranges are not recorded"], true]);
  const all = words(of, 15n);
  assert.deepEqual([all.class, all.head, all.lines, all.leads], ["band", "Certain: 2 addresses held", [], false]);
  const unsure = words(of, 25n);
  assert.deepEqual([unsure.class, unsure.head, unsure.leads], ["band warn", "Uncertain: 2 addresses held, 1 of them uncertain", true]);
  assert.deepEqual(unsure.lines.length, 1); // of the address that is
  const lost = words(of, 35n);
  assert.deepEqual([lost.class, lost.head], ["band bad", "Unknown in part: 2 addresses held, 1 of them uncertain; 1 unknown"]);
  assert.deepEqual(lost.lines, ["events are lost"]);
  const ranges = [{ start: "fd00::1", end: "fd00::ffff:ffff", subnet: "fd00::/96", gateway: "fd00::1" }];
  assert.equal(words(view({ ranges }), 5n).head, "Unknown: 0 addresses held; the others are unknown");
});

test("from one address that is uncertain or unknown the way leads to the next", () => {
  const of = view();
  const way = (seconds: bigint, behind: string, steps: number) => {
    const { moment } = words(of, seconds);
    const open = new Open(of);
    return Array.from({ length: steps }, () => (behind = open.next(moment, behind)));
  };
  assert.deepEqual(way(15n, "", 1), [""]);
  assert.deepEqual(way(25n, "10.0.0.200", 2), ["10.0.0.7", "10.0.0.7"]);
  assert.deepEqual(way(35n, "", 3), ["10.0.0.7", "10.0.0.9", "10.0.0.7"]);
  const unknown = way(5n, "10.0.0.5", 8);
  assert.deepEqual(unknown.slice(0, 2), ["10.0.0.7", "10.0.0.9"]);
  assert(unknown.includes("10.0.0.5") && new Set(unknown).size > 4, unknown.join()); // the stretches of others, then from the beginning
});
