import assert from "node:assert/strict";
import test from "node:test";
import { eventsAt, eventsUpTo, nextEvent, previousEvent } from "../src/cursor.ts";
import { decode } from "../src/decode.ts";
import { at, encode, type EventMade } from "./encode.ts";

const instant = (t: bigint) => ({ ms: at(t)[0], ns: at(t)[1] });

test("events by time where clocks were set back, with events at the same instant", () => {
  const times = [50, 10, 20, 20, 30, 5, 20, 25, 1_000_000, 999_999, 3, 60].map(BigInt); // the first and last are not of the time shown
  const made: EventMade[] = times.map((effective, i) => ({ seq: i + 1, kind: 1, effective }));
  const view = decode(encode([{ made: { events: made, leases: [] }, events: { count: 12, first: 1, last: 10 } }])).views[0];
  const order = [10, 5, 1, 2, 3, 6, 7, 4, 9, 8];
  const forth: number[] = [];
  for (let i = nextEvent(view, { ms: -1, ns: 999_999 }); i >= 0; i = nextEvent(view, instant(times[i]))) forth.push(i);
  assert.deepEqual(forth, order.filter((i) => i !== 3 && i !== 6));
  const back: number[] = [];
  for (let i = previousEvent(view, { ms: 2, ns: 0 }); i >= 0; i = previousEvent(view, instant(times[i]))) back.unshift(i);
  assert.deepEqual(back, order.filter((i) => i !== 2 && i !== 3));
  assert.deepEqual(eventsAt(view, instant(20n)), [2, 3, 6]);
  assert.deepEqual(eventsAt(view, instant(21n)), []);
  assert.equal(eventsUpTo(view, instant(20n)), 6);
});

test("no event is in the time shown", () => {
  const view = decode(encode([{ made: { events: [{ seq: 1, kind: 1, effective: 5n }], leases: [] }, events: { count: 1, first: 1, last: 0 } }])).views[0];
  assert.deepEqual([nextEvent(view, instant(0n)), previousEvent(view, instant(9n)), eventsAt(view, instant(5n))], [-1, -1, []]);
});
