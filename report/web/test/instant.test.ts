import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { add, compare, format, formatIn, formatShort, fromRFC3339, parse } from "../src/instant.ts";

interface Table {
  now: string;
  times: { name: string; text: string; zone?: string; want: string }[];
  wrong: { name: string; text: string; want: string }[];
  zones: { name: string; zone: string; want: string }[];
}

// The table of leasectl's own tests.
const table: Table = JSON.parse(readFileSync("../../tools/leasectl/testdata/instants.json", "utf8"));
const now = fromRFC3339(table.now)!;

// here is what leasectl says as the page says it: there is no --tz.
const here = (text: string) => text.replaceAll("--tz", "the zone chosen here");

function said(run: () => string): string {
  try {
    return run();
  } catch (err) {
    return (err as Error).message;
  }
}

test("times mean what they mean to leasectl", () => {
  for (const { name, text, zone, want } of table.times) {
    assert.equal(said(() => format(parse(text, { now, zone: zone ?? "UTC" }))), here(want), name);
  }
  assert(table.times.length >= 35);
});

test("what leasectl refuses is refused, in the same words", () => {
  for (const { name, text, want } of table.wrong) assert.equal(said(() => format(parse(text, { now, zone: "UTC" }))), here(want), name);
  assert(table.wrong.length >= 100);
});

test("a text longer than any time or zone is refused, and cut", () => {
  for (const text of ["-" + "1".repeat(100_000), "1".repeat(100_000) + "x", "a" + " ".repeat(100_000) + "a"]) {
    assert.match(said(() => format(parse(text, { now, zone: "UTC" }))), /^time "[^"]{40}…": longer than any time$/);
  }
  assert.equal(said(() => format(parse(" ".repeat(100_000) + "now\u00a0", { now, zone: "UTC" }))), format(now));
  assert.match(said(() => formatIn(now, "A".repeat(100_000))), /^time zone "A{40}…": longer than any zone's name$/);
});

test("zones mean what they mean to leasectl", () => {
  const july = fromRFC3339("2026-07-01T00:00:00Z")!;
  for (const { name, zone, want } of table.zones) {
    const got = said(() => formatIn(july, zone).slice(29).replace("Z", "+0000").replace(":", ""));
    assert.equal(got, want, name);
  }
});

test("instants are exact", () => {
  const at = fromRFC3339("1969-12-31T23:59:59.999999999Z")!;
  assert.deepEqual(at, { ms: -1, ns: 999_999 });
  assert.equal(format(at), "1969-12-31T23:59:59.999999999Z");
  assert.deepEqual(add(at, 1), { ms: 0, ns: 0 });
  assert.deepEqual(add({ ms: 0, ns: 0 }, -1), at);
  assert.deepEqual(add(at, -3_600_000_000_000), { ms: -3_600_001, ns: 999_999 });
  assert.equal(Math.sign(compare(at, add(at, 1))), -1);
  assert.equal(compare({ ms: -Infinity, ns: 0 }, { ms: -Infinity, ns: 0 }), 0);
  assert.equal(fromRFC3339("2026-02-29T00:00:00Z"), null);
  assert.equal(formatIn(fromRFC3339("2026-07-03T22:05:09.5Z")!, "Europe/Vienna"), "2026-07-04T00:05:09.500000000+02:00");
  assert.equal(formatIn(at, "America/New_York"), "1969-12-31T18:59:59.999999999-05:00");
  assert.equal(formatShort(at, "Asia/Kolkata"), "1970-01-01 05:29:59");
});
