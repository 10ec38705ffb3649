import assert from "node:assert/strict";
import test from "node:test";
import { decode } from "../src/decode.ts";
import { format } from "../src/instant.ts";
import { read, write } from "../src/link.ts";
import type { Report } from "../src/types.ts";
import { at, encode } from "./encode.ts";

const second = 1_000_000_000n;
const begin = 1_793_664_000n * second; // 2026-11-03T00:00:00Z

function report(): Report {
  const made = { events: [{ seq: 1, kind: 1, effective: begin }], leases: [{ address: "10.0.0.5", start: 0, container: "c" }] };
  const span = { from: at(begin), to: at(begin + 86_400n * second) };
  return decode(
    encode([
      { made, ...span, network: "pods", node: "n1" },
      { made, ...span, network: "pods", node: "n2" },
      { made, ...span, network: "storage", node: "n2" },
    ]),
  );
}

test("a link restores what was shown", () => {
  const of = report();
  const links = [
    "#at=2026-11-03T14:05:00.000000001Z&network=pods&node=n1",
    "#at=2026-11-03T14:05:00.000000000Z&ip=10.0.0.5&network=storage&node=n2&q=shop/cart%20%26%20x&by=age&zone=Europe/Berlin",
    "#at=2026-11-03T00:00:00.000000000Z&ip=fd00::7&network=pods&node=n2&by=churn",
  ];
  for (const link of links) {
    const { selection, wrong } = read(of, link);
    assert.deepEqual(wrong, []);
    assert.equal(write(of, selection), link);
  }
});

test("an instant in a link is one of the command line's", () => {
  const { selection, wrong } = read(report(), "#at=2026-11-03 14:05&zone=Europe/Berlin");
  assert.deepEqual(wrong, []);
  assert.equal(format(selection.at), "2026-11-03T13:05:00.000000000Z");
});

test("what is wrong in a link is said, and the rest is taken", () => {
  const of = report();
  const { selection, wrong } = read(of, "#at=2026-11-04T00:00:00.000000001Z&ip=10.0.0.256&network=x&by=size&zone=Mars&foo=1&q=a");
  const said = ["foo", "network", "zone", "by", "ip", "at"];
  assert.deepEqual(wrong.map((line) => line.slice(0, line.indexOf("="))).sort(), said.sort());
  assert.match(wrong.find((line) => line.startsWith("at="))!, /is after the time that this page shows: it ends at 2026-11-04T00:00:00.000000000Z/);
  assert.deepEqual({ ...selection, at: format(selection.at) }, {
    view: 0, at: "2026-11-04T00:00:00.000000000Z", ip: "", query: "a", zone: "UTC", colour: "state",
  });
  assert.match(read(of, "#at=2026-11-02T23:59:59Z").wrong[0], /is before the time that this page shows/);
  assert.match(read(of, "#at=1&at=2").wrong[0], /given more than once/);
});
