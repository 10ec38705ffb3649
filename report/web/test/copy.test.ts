import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { endText, intervalsJSON, intervalsText, safeJSON, shell, type Copied } from "../src/copy.ts";
import { decode } from "../src/decode.ts";
import { cut, lasted, printable } from "../src/text.ts";
import { at, encode, type LeaseMade } from "./encode.ts";

const base = 1_700_000_000_000_000_000n;
const whole = "0123456789abcdef".repeat(4);
const hostile = "a\u202eb</script><b>\"\\\u0007\u{e0041}";

const leases: LeaseMade[] = [
  { address: "10.0.0.5", start: 0, end: 1, reason: 3, container: whole, pod: ["shop", hostile], text: hostile, doubts: [hostile], file: "journal/7" },
  { address: "10.0.0.5", start: 2, container: "short:fedcba9876543210", pod: ["shop", "b"], doubtful: 3, certainty: 1 },
];
const events = [0, 10, 20, 30].map((s, i) => ({ seq: i + 5, kind: [1, 8, 1, 6][i], effective: base + BigInt(s) * 1_000_000_000n, recorded: base + BigInt(s) * 1_000_000_000n - (i === 1 ? 1n : 0n) }));
const journals = [{ id: "735e1b1fee51e7df017f5643339cb66b", node: "n1", dir: "/d/.leaselog/cbr0", first_seq: 1, last_seq: 99, first_time: "2023-11-14T22:00:00.000000000Z",
  last_time: "2023-11-14T23:00:00.000000000Z", live: false }];
const report = decode(encode([{ from: at(base), to: at(base + 40_000_000_000n), doubts: [hostile], journals, made: { events, leases } }]));
const view = report.views[0];
const copied: Copied = { report, view, of: { ip: "10.0.0.5" }, at: view.to, state: "held", leases: [0, 1].map((l) => view.leases.of(l)) };

// docs/schemas/page has the schema of that file, which a test of leasectl holds against it.
test("intervals as JSON are as they were", () => {
  assert.equal(intervalsJSON(copied), readFileSync("test/testdata/intervals.json", "utf8"));
});

test("what does not print is escaped, in text and in JSON", () => {
  const shapeless = /[^\p{L}\p{M}\p{N}\p{P}\p{S} \n]|\p{Default_Ignorable_Code_Point}/u;
  for (const text of [intervalsJSON(copied), intervalsText(copied)]) assert.doesNotMatch(text, shapeless);
  assert.ok(intervalsText(copied).includes("a\\u202eb</script><b>\"\\\\\\x07\\U000e0041"));
  assert.equal(JSON.parse(safeJSON(JSON.stringify(hostile))), hostile);
  assert.equal(printable("\u0301a\u0301\u200f\ud800\u3164\t"), "\\u0301a\u0301\\u200f\\ud800\\u3164\\x09");
  assert.equal(printable("a\u0301\u0302\u0303\u0304"), "a\u0301\u0302\\u0303\\u0304");
  assert.equal(printable("grün 日本 x/y-z_1.2"), "grün 日本 x/y-z_1.2");
});

test("intervals as text tell who, when, by which events, and what is not sure", () => {
  const text = intervalsText(copied);
  for (const line of [
    "at 2023-11-14T22:14:00.000000000Z: held", "  from 2023-11-14T22:13:20.000000000Z (event 5) to 2023-11-14T22:13:30.000000000Z (event 6, force, a",
    "  end recorded as 2023-11-14T22:13:29.999999999Z", "  from 2023-11-14T22:13:40.000000000Z (event 7), no end is recorded\n", "  use is uncertain from 2023-11-14T22:13:50.000000000Z",
    "container fedcba9876543210...  eth0", "  uncertain; journal 735e1b1fee51e7df017f5643339cb66b of node \"n1\", journal/1, events 7-\n",
  ]) assert.ok(text.includes(line), `${line}\nis not in\n${text}`);
  assert.doesNotMatch(text, /start recorded/);
});

test("of what has no end only the journal in use says that it is still held", () => {
  const of = (live: boolean, flags: number) => decode(encode([{ journals: [{ ...journals[0], live }], made: { events, leases: [{ ...leases[1], flags, certainty: 0 }] } }])).views[0].leases.of(0);
  assert.deepEqual([endText(of(true, 0)), endText(of(false, 0)), endText(of(true, 8))], ["still held", "no end is recorded", "unknown"]);
});

test("words of a command line are quoted", () => {
  for (const [word, want] of [["/var/lib/cni", "/var/lib/cni"], ["", "''"], ["a b", "'a b'"], ["it's $(x)", "'it'\\''s $(x)'"], ["~/x", "'~/x'"], ["a\n\u202e'", "$'a\\x0a\\xe2\\x80\\xae\\x27'"]]) {
    assert.equal(shell(word), want);
  }
});

test("durations and cuts", () => {
  for (const [ms, want] of [[0, "0s"], [0.0123, "12.3µs"], [1.5, "1.5ms"], [2697.326, "2.7s"], [60_000, "1m0s"], [59_999, "1m0s"], [17_645_000, "4h54m5s"], [-1500, "-1.5s"]] as const) {
    assert.equal(lasted(ms), want);
  }
  assert.equal(cut("ab😀cd", 3), "ab…");
  assert.equal(cut("abc", 3), "abc");
});
