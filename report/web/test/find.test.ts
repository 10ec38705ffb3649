import assert from "node:assert/strict";
import test, { mock } from "node:test";
import { decode } from "../src/decode.ts";
import { find, Matcher } from "../src/find.ts";
import { at, encode, type LeaseMade } from "./encode.ts";

const whole = "0123456789abcdef".repeat(4);
const base = 1_700_000_000_000_000_000n;
const leases: LeaseMade[] = [
  { address: "10.0.0.1", start: 0, end: 3, container: whole, pod: ["shop", "cart-1"] },
  { address: "10.0.0.12", start: 1, container: "short:fedcba9876543210", pod: ["shop", "cart-12"] },
  { address: "10.0.1.1", start: 2, container: "Odd ID", pod: ["payments", "old-cart"] },
  { address: "2001:db8::1", start: 2, container: "Odd ID", pod: ["payments", "old-cart"] },
  { address: "10.0.0.1", start: 4, container: "cafe", pod: ["cart", "api"] },
];
const events = [1, 1, 1, 2, 1].map((kind, i) => ({ seq: i + 1, kind, effective: base + BigInt(i) }));
const view = decode(encode([{ from: at(base), to: at(base + 5n), made: { events, leases } }])).views[0];

async function rows(query: string, most = 200): Promise<number[]> {
  return [...(await find(new Matcher(view, query), most, async () => true))!.rows];
}

test("a question finds addresses, prefixes, containers, pods and namespaces, the best first and of these the newest", async () => {
  const want: [string, number[]][] = [
    ["10.0.0.1", [4, 0]], // not 10.0.0.12
    [" 10.0.0.1 ", [4, 0]],
    ["10.0.0.1/32", [4, 0]], ["10.0.0.0/24", [4, 1, 0]], ["10.0.0.77/23", [4, 2, 1, 0]], ["10.0.0.0/33", []], ["2001:db8::/32", [3]],
    ["10.0.", [4, 2, 1, 0]], ["10.0.0.1 2", []],
    ["2001:DB8:0:0::1", [3]], ["2001:db8", [3]],
    ["0123", [0]], [whole, [0]], [whole + "0", []],
    ["fedc", [1]], ["fedcba9876543210", [1]], ["fedcba9876543210" + "a".repeat(48), [1]], ["fedcba9876543210" + "a".repeat(49), []], ["fedcba9876543211", []],
    ["odd id", [3, 2]], ["cafe", [4]], ["cafe0", []],
    ["shop/cart-1", [0, 1]], ["shop/", [1, 0]], ["shop/art", [1, 0]], ["payments/cart-1", []], ["/cart-1", [0, 1]],
    ["cart", [4, 1, 0, 3, 2]], // the namespace of that name, beginnings, parts
    ["shop", [1, 0]], ["nothing", []],
  ];
  for (const [query, found] of want) assert.deepEqual(await rows(query), found, query);
});

test("an address that was asked for is written as the page writes it", () => {
  assert.equal(new Matcher(view, " 2001:DB8:0:0:0::9").address, "2001:db8::9");
  assert.equal(new Matcher(view, "2001:db8").address, "");
});

test("the rows are cut, not the count; a search that isn't wanted any more ends", async () => {
  const found = await find(new Matcher(view, "cart"), 2, async () => true);
  assert.deepEqual(found, { rows: [4, 1], total: 5 });
  let now = 0;
  const late = mock.method(performance, "now", () => (now += 100));
  try {
    assert.equal(await find(new Matcher(view, "cart"), 2, async () => false), null);
  } finally {
    late.mock.restore();
  }
});
