import assert from "node:assert/strict";
import test from "node:test";
import { gzipSync } from "node:zlib";
import { compareAddresses, formatAddress, parseAddress } from "../src/address.ts";
import { Column, fromBase64, gunzip } from "../src/bytes.ts";
import { DataError, decode, open } from "../src/decode.ts";
import { readHeader } from "../src/header.ts";
import { format } from "../src/instant.ts";
import { encode, row, type ViewMade } from "./encode.ts";

const id = "0123456789abcdef".repeat(4);
const hostile = '</script><b title="x">\u202e\0\x1b[31m' + "ä".repeat(200);
const second = 1_000_000_000n;

// A view with one of each: what was pruned, forms of container IDs, pods that come again, doubts, ends, two journals.
const odd: ViewMade = {
  journals: ["a", "b"].map((j, i) => ({ id: j, node: "n", dir: `/${j}`, first_seq: 1, last_seq: 40 + i, first_time: "", last_time: "", live: i === 1 })),
  boots: [0, 5, 3].map((e, i) => ({ id: `boot${i}`, max_error_ns: e, synced: i === 0 })),
  made: {
    events: [
      { seq: 7, kind: 0, effective: -1n, recorded: -56n * 31_557_600n * second - 1n }, // off by 56 years
      { seq: 8, kind: 1, effective: 1_700_000_000n * second + 999_999n, recorded: 1_700_000_001n * second },
      { seq: 300, kind: 3, code: 101, effective: 1_700_000_000n * second, boot: 1 },
      { seq: 301, kind: 3, code: 2 ** 31 - 1, effective: 1_699_999_999n * second, recorded: 9_223_372_036n * second, boot: 1 },
      { seq: 2, kind: 2, effective: 1_700_000_005n * second, boot: 2, journal: 1 },
    ],
    leases: [
      { address: "10.0.0.5", start: 0, end: 1, reason: 7, container: id, pod: ["shop", "web-0"], certainty: 2, flags: 4, text: hostile, doubts: ["begun by event \0s, ended by \0e", "a \x000 alone"] },
      { address: "2001:db8::1", start: 1, end: 1, reason: 2, container: "short:0123456789abcdef", pod: ["shop", hostile] },
      { address: "10.0.0.4", start: 1, doubtful: 4, container: hostile, flags: 8, certainty: 1, lastSeq: 33, file: "archive/2", ifname: "net1", doubts: ["after event \0w (\0t)"] },
      { address: "10.0.0.5", start: 4, container: id, pod: ["shop", "web-0"] },
      { address: "10.0.0.6", start: 4, container: "", pod: ["shop", hostile], file: "archive/2" },
    ],
  },
};

test("all that the page has of events and leases", () => {
  const view = decode(encode([odd])).views[0];
  const { events, leases } = view;
  assert.deepEqual([...events.seq], [7, 8, 300, 301, 2]);
  assert.deepEqual([...events.code], [0, 0, 101, 2 ** 31 - 1, 0]);
  assert.deepEqual([...events.journal], [0, 0, 0, 0, 1]);
  assert.deepEqual([...events.boot], [0, 0, 1, 1, 2]);
  const times = (t: typeof events.recorded) => Array.from(t.ms, (ms, i) => BigInt(ms) * 1_000_000n + BigInt(t.ns[i]));
  assert.deepEqual(times(events.effective), odd.made.events.map((e) => e.effective));
  assert(events.recorded.ns.every((ns) => ns < 1e6));
  assert.deepEqual(times(events.recorded), odd.made.events.map((e) => e.recorded ?? e.effective));
  const all = Array.from({ length: leases.count }, (_, i) => leases.of(i));
  assert.deepEqual(all.map((l) => l.address), odd.made.leases.map((l) => l.address));
  assert.deepEqual(all.map((l) => l.containerID), [id, "0123456789abcdef", hostile, id, ""]);
  assert.deepEqual(all.map((l) => l.shortened), [false, true, false, false, false]);
  assert.deepEqual(all.map((l) => [l.podNamespace, l.podName]), [["shop", "web-0"], ["shop", hostile], ["", ""], ["shop", "web-0"], ["shop", hostile]]);
  assert.deepEqual(all.map((l) => [l.reason, l.endSeq, l.lastSeq]), [["wiped", 8, 8], ["gc", 8, 8], ["", 0, 33], ["", 0, 41], ["", 0, 41]]);
  assert.deepEqual(all.map((l) => [l.file, l.ifname, l.journal]), [["journal/1", "eth0", 0], ["journal/1", "eth0", 0], ["archive/2", "net1", 0], ["journal/1", "eth0", 1], ["archive/2", "eth0", 1]]);
  assert.deepEqual(all.map((l) => [l.certainty, l.origin, l.lost]), [["unknown", "import", false], ["certain", "cni", false], ["uncertain", "cni", true], ["certain", "cni", false], ["certain", "cni", false]]);
  assert.deepEqual(all.map((l) => l.text), [hostile, "", "", "", ""]);
  assert.deepEqual(all[0].doubts, ["begun by event 7, ended by 8", "a \0 alone"]);
  assert.deepEqual(all[2].doubts, ["after event 2 (2023-11-14T22:13:25.000000000Z)"]);
  assert.equal(format(all[2].windowStart!), "2023-11-14T22:13:25.000000000Z");
  assert.deepEqual(Array.from({ length: view.addresses.count }, (_, i) => view.addresses.text(i)), ["10.0.0.4", "10.0.0.5", "10.0.0.6", "2001:db8::1"]);
  assert.deepEqual([...view.addresses.leases(1)], [0, 3]);
  assert.equal(view.addresses.value(3), 0x20010db8n << 96n | 1n);
  assert.equal(view.addresses.find("2001:DB8:0::1"), 3);
  assert.equal(view.addresses.find("10.0.0.7"), -1);
  assert.equal(view.addresses.find("10.0.0.05"), -1);
});

test("several networks, one of them empty", () => {
  const nothing: ViewMade = { network: "", rows: [{ ...row, candidates: [], unknown: [1] }], texts: ["", "the journal holds no event"], covered: null, made: { events: [], leases: [] } };
  const { views } = decode(encode([nothing, odd]));
  assert.deepEqual(views[0].at().cell("10.0.0.1"), { state: 0, sure: true, leases: [], why: ["the journal holds no event"] });
  assert.equal(views[1].events.count, 5);
  assert.deepEqual(views[0].phases, [{ from: null, known: false, ranges: [], whole: false, why: ["the journal holds no event"] }]);
});

test("data that is cut short or was changed is refused, and never hangs or is taken for another", () => {
  const whole = encode([odd]);
  const columns = 8 + new DataView(whole.buffer).getUint32(4, true);
  const some = (from: number) => Array.from({ length: whole.length - from }, (_, i) => from + i).filter((i) => i >= columns || i % 41 === 0);
  for (const length of some(0)) assert.throws(() => decode(whole.subarray(0, length)), DataError, `${length} of ${whole.length} bytes`);
  let refused = 0;
  for (const i of some(8)) {
    const changed = whole.slice();
    changed[i] ^= 0x81;
    try {
      const view = decode(changed).views[0];
      view.at();
      for (let l = 0; l < view.leases.count; l++) view.leases.of(l);
    } catch (err) {
      // gzip's checksum finds such changes before; the header's types are not looked at one by one.
      assert(err instanceof DataError || (i < columns && err instanceof TypeError), `byte ${i}: ${err}`);
      refused++;
    }
  }
  assert(refused > 100, `${refused} changes are refused`);
});

test("a column that is longer or shorter than what it must hold is refused", () => {
  const bytes = encode([odd]);
  const { header, rest } = readHeader(bytes);
  const columns = header.views[0].columns;
  assert.equal(Object.keys(columns).length, 25);
  for (const [name, column] of Object.entries(columns)) {
    for (const by of [1, -1]) {
      column[1] += by;
      const json = new TextEncoder().encode(JSON.stringify(header));
      const length = Uint8Array.of(json.length, json.length >> 8, 0, 0);
      const changed = Uint8Array.of(...bytes.subarray(0, 4), ...length, ...json, ...rest, 0);
      assert.throws(() => decode(changed), { name: "DataError", message: /^read column [a-z0-9.]+ of the page's data: / }, name);
      column[1] -= by;
    }
  }
});

test("another schema, and a page that is none", async () => {
  assert.throws(() => decode(encode([odd], { schema: "leaselog.page/2" })), { message: "read the header of the page's data: it is of schema leaselog.page/2, and this page reads leaselog.page/1" });
  assert.throws(() => decode(encode([odd], { schema: "leaselog.page/10" })), /it is of schema/);
  assert.equal(decode(encode([odd], { schema: "leaselog.page/1.3" })).version, "v1");
  assert.throws(() => decode(encode([])), /no network is in it/);
  assert.throws(() => decode(new TextEncoder().encode("PK\x03\x04 and so on")), /it is none of leasectl report/);
  const page = (text: string | null) => ({ getElementById: () => (text === null ? null : { textContent: text }) }) as unknown as Document;
  const base64 = Buffer.from(gzipSync(encode([odd]))).toString("base64");
  assert.equal((await open(page(`\n${base64}\n`))).views.length, 1);
  await assert.rejects(open(page(null)), /the page has none/);
  await assert.rejects(open(page(base64.slice(0, -4))), /unpack the page's data: it is cut short or was changed/);
  await assert.rejects(open(page(base64.slice(0, -3))), /it is cut short, \d+ characters of base64/);
  await assert.rejects(open(page(base64.replace(/.{5}$/, "\u2028$&").slice(0, -1))), /is not of base64/);
});

test("base64 and gzip of all lengths", async () => {
  for (let length = 0; length < 70; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 37 + length) & 255);
    assert.deepEqual(fromBase64(Buffer.from(bytes).toString("base64")), bytes);
  }
  for (const wrong of ["A===", "AA=A", "====", "AAA\0", "AA-_", "Ā==="]) assert.throws(() => fromBase64(wrong), DataError, wrong);
  assert.deepEqual(await gunzip(Uint8Array.from(gzipSync(new Uint8Array(100_000)))), new Uint8Array(100_000));
});

test("numbers beyond 32 bits", () => {
  const read = (...bytes: number[]) => new Column("x", Uint8Array.from(bytes));
  assert.equal(read(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f).uvarint(), Number.MAX_SAFE_INTEGER);
  assert.equal(read(0x80, 0x80, 0x80, 0x80, 0x10).uvarint(), 2 ** 32);
  assert.equal(read(0xff, 0xff, 0xff, 0xff, 0x1f).zigzag(), -(2 ** 32));
  assert.equal(read(0x03).zigzag(), -2);
  assert.throws(() => read(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f).uvarint(), /larger than any/);
  assert.throws(() => read(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01).uvarint(), /larger than any/);
  assert.throws(() => read(0x80).uvarint(), /read column x of the page's data: it ends too early/);
  assert.throws(() => read().uvarint(), /it ends too early/);
  assert.throws(() => read(1).done(), /1 bytes are left over/);
});

test("addresses as text", () => {
  for (const [text, written] of [["::", "::"], ["0:0:0:0:0:0:0:1", "::1"], ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"], ["1:0:2::", "1:0:2::"], ["FE80::1:0", "fe80::1:0"], ["1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0"], ["64:ff9b::1.2.3.4", "64:ff9b::102:304"], ["0.0.0.0", "0.0.0.0"], ["255.255.255.255", "255.255.255.255"]]) {
    assert.equal(formatAddress(parseAddress(text)!), written);
  }
  for (const wrong of ["", "1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", "1.2.3.4 ", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7::8", "::ffff:1.2.3.4", "::ffff:102:304", "fe80::1%eth0", "12345::", "g::", "1:2:3:4:5:6:7:8:9", ":1:2:3:4:5:6:7", "::1.2.3", "1.2.3.4::"]) {
    assert.equal(parseAddress(wrong), null, wrong);
  }
  assert(compareAddresses(parseAddress("255.0.0.0")!, parseAddress("::1")!) < 0);
});
