import assert from "node:assert/strict";
import test from "node:test";
import { decode } from "../src/decode.ts";
import { format } from "../src/instant.ts";
import { read, write } from "../src/link.ts";
import type { Report } from "../src/types.ts";
import { nameOf, others } from "../src/views.ts";
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
    "#at=2026-11-03T00:00:00.000000000Z&ip=10.0.0.5&net=10.0.0.0/24&network=pods&node=n2",
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
    view: 0, at: "2026-11-04T00:00:00.000000000Z", ip: "", lease: -1, net: "", query: "a", zone: "UTC", colour: "state",
  });
  assert.match(read(of, "#at=2026-11-02T23:59:59Z").wrong[0], /is before the time that this page shows/);
  assert.match(read(of, "#at=1&at=2").wrong[0], /given more than once/);
});

test("an address without a network is looked for in all of them", () => {
  const range = { start: "10.7.0.1", end: "10.7.0.254", subnet: "10.7.0.0/24", gateway: "" };
  const of = (network: string, node: string, address: string, of: typeof range[] = []) => ({
    made: { events: [{ seq: 1, kind: 1, effective: begin }], leases: [{ address, start: 0, container: "c" }] },
    from: at(begin), to: at(begin + 86_400n * second), network, node, ranges: of,
    changes: [{ known: true, partial: false, ranges: of.map((_, i) => i) }],
    rows: [{ from: null, unknown: [], candidates: [0], possible: [], maybe: [], certainty: "certain" as const, doubts: [], open: false }],
  });
  const page = decode(encode([of("a", "n1", "10.0.0.5"), of("b", "n1", "10.7.0.5", [range]), of("b", "n2", "10.8.0.5")]));
  const goes = (hash: string) => read(page, hash);
  assert.equal(goes("#ip=10.7.0.5").selection.view, 1); // where it was held
  assert.equal(goes("#ip=10.7.0.9").selection.view, 1); // where it belongs
  assert.equal(goes("#ip=10.8.0.5&at=2026-11-03T10:00:00Z").selection.view, 2);
  assert.equal(goes("#ip=10.8.0.5&network=b").selection.view, 2);
  assert.equal(goes("#ip=10.8.0.5&network=a").selection.view, 0); // the one that was asked for
  assert.equal(goes("#ip=10.99.0.1").selection.view, 0);
  assert.equal(goes("#node=n1&ip=10.7.0.5").selection.view, 1);
  for (const hash of ["#ip=10.7.0.5", "#ip=10.8.0.5&network=b"]) assert.deepEqual(goes(hash).wrong, [], hash);
  assert.deepEqual(others(page, 0, "10.7.0.5"), { sure: [1], maybe: [] });
  assert.deepEqual(others(page, 1, "10.7.0.9"), { sure: [], maybe: [] });
  assert.deepEqual(others(page, 1, "10.8.0.5"), { sure: [2], maybe: [] });
  assert.match(read(report(), "#ip=10.0.0.5").wrong.join(), /^ip=10\.0\.0\.5: in pods on n1, and in pods on n2 and others: the first is shown$/);
});

test("of other networks that are unknown, those may have an address whose ranges are unknown", () => {
  const range = { start: "10.7.0.1", end: "10.7.0.254", subnet: "10.7.0.0/24", gateway: "" };
  const none = { made: { events: [], leases: [] }, from: at(begin), to: at(begin + second), network: "n" };
  const rows = [{ from: null, unknown: [0], candidates: [], possible: [], maybe: [], certainty: "unknown" as const, doubts: [], open: false }];
  const lost = { ...none, texts: ["it is lost"], rows, changes: [] };
  const page = decode(encode([none, { ...lost, ranges: [] }, { ...lost, ranges: [range] }]));
  assert.deepEqual(others(page, 0, "10.7.0.5"), { sure: [2], maybe: [1] });
  assert.deepEqual(others(page, 0, "10.7.0.255"), { sure: [], maybe: [1] });
});

test("stores of the same network and node are told apart by their journal", () => {
  const made = { events: [{ seq: 1, kind: 1, effective: begin }], leases: [{ address: "10.0.0.5", start: 0, container: "c" }] };
  const journal = (id: string, dir: string) => ({ id, node: "n", dir, first_seq: 1, last_seq: 1, first_time: "", last_time: "", live: true });
  const view = (...of: [string, string]) => ({ made, from: at(begin), to: at(begin + second), network: "pods", node: "n", journals: [journal(...of)] });
  const page = decode(encode([view("a1", "/one"), view("b2", "/two"), view("b2", "/three")]));
  for (const [index, store] of ["a1", "/two", "/three"].entries()) {
    const link = write(page, { ...read(page, "").selection, view: index });
    assert.match(link, new RegExp(`&store=${store}$`));
    const { selection, wrong } = read(page, link);
    assert.deepEqual([selection.view, wrong], [index, []], link);
  }
  assert.match(nameOf(page, 1), /^pods on n, journal b2 in \/two$/);
  assert.match(read(page, "#network=pods").wrong[0], /of 3 stores, pods on n, journal a1 in \/one is shown: store= says which/);
  assert.match(read(page, "#store=c3").wrong[0], /^store=c3: not in this page$/);
});

test("a link names a lease by the event that gave it", () => {
  const journal = (id: string) => ({ id, node: "n", dir: "/" + id, first_seq: 1, last_seq: 9, first_time: "", last_time: "", live: false });
  const event = (seq: number, kind: number, offset: number, journal: number) => ({ seq, kind, effective: begin + BigInt(offset) * second, journal });
  const made = {
    events: [event(4, 1, 1, 0), event(6, 2, 2, 0), event(4, 1, 3, 1), event(7, 2, 4, 1), event(8, 1, 5, 1)],
    leases: [
      { address: "10.0.0.5", start: 0, end: 1, container: "a" },
      { address: "10.0.0.5", start: 2, end: 3, container: "b" },
      { address: "10.0.0.5", start: 4, container: "c" },
      { address: "fd00::5", start: 4, container: "c" },
    ],
  };
  const page = decode(encode([{ made, from: at(begin), to: at(begin + 9n * second), network: "pods", node: "n", journals: [journal("a1"), journal("b2")] }]));
  const seconds = "#at=2026-11-03T00:00:09.000000000Z";
  for (const [lease, link] of ["10.0.0.5&lease=a1:4", "10.0.0.5&lease=b2:4", "10.0.0.5&lease=8", "fd00::5&lease=8"].entries()) {
    const { selection, wrong } = read(page, `${seconds}&ip=${link}`);
    assert.deepEqual([selection.lease, wrong], [lease, []], link);
    assert.equal(write(page, selection), `${seconds}&ip=${link}`);
  }
  const refused = (hash: string) => {
    const { selection, wrong } = read(page, hash);
    assert.equal(selection.lease, -1, hash);
    return wrong.join();
  };
  assert.match(refused("#ip=10.0.0.5&lease=4"), /^lease=4: 2 journals have given 10\.0\.0\.5 by an event of that number: JOURNAL:NUMBER says which$/);
  assert.match(refused("#lease=8"), /^lease=8: ip= has to say of which address$/);
  for (const bad of ["6", "08", "8.0", "8e0", "-1", "NaN", "__proto__", "c3:8", ":8", "<b>", "9".repeat(400)]) {
    assert.match(refused(`#ip=10.0.0.5&lease=${bad}`), /^lease=.*: not the number of an event that gave 10\.0\.0\.5$/, bad);
  }
  assert.match(refused("#ip=10.9.0.5&lease=8"), /not the number of an event that gave 10\.9\.0\.5$/);
});

test("a link as long as anything is refused at once, in few words", () => {
  const of = report();
  const long = 1_000_000;
  const links = [
    "#at=-" + "1".repeat(long), "#at=-" + "1".repeat(4000), "#at=" + "1".repeat(4000) + "x", "#at=a" + " ".repeat(4000) + "a", "#zone=" + "A".repeat(4000),
    "#ip=" + ":".repeat(4000), "#ip=" + ":".repeat(long), "#" + "x&".repeat(long), "#" + Array.from({ length: 9000 }, (_, i) => "n" + i).join("&"),
    "#net=" + "1".repeat(4000) + "/8", "#network=" + "n".repeat(4000), "#ip=10.0.0.5&lease=" + "1".repeat(4000),
  ];
  for (const link of links) {
    const { wrong } = read(of, link);
    assert(wrong.length > 0 && wrong.length <= 9, `${link.slice(0, 20)}: ${wrong.length} complaints`);
    assert(wrong.every((line) => line.length < 400), `${link.slice(0, 20)}: ${wrong.map((line) => line.length)}`);
  }
});
