// From event to event, by time.

import type { Events, Instant, View } from "./types.ts";
import { before } from "./windows.ts";

// Orders of events by effective time, then by sequence; made once for each view.
const orders = new WeakMap<Events, Uint32Array>();

// nextEvent returns the index of the first event of the time shown that is behind an instant, -1 if none is.
export function nextEvent(view: View, at: Instant): number {
  const order = orderOf(view.events);
  return order[countUpTo(view.events, order, at)] ?? -1;
}

// previousEvent returns the index of the last event of the time shown that is before an instant, -1 if none is.
export function previousEvent(view: View, at: Instant): number {
  const order = orderOf(view.events);
  const [ms, ns] = at.ns > 0 ? [at.ms, at.ns - 1] : [at.ms - 1, 999_999];
  return order[countUpTo(view.events, order, { ms, ns }) - 1] ?? -1;
}

// eventsAt returns the indexes of the events at an instant.
export function eventsAt(view: View, at: Instant): number[] {
  const order = orderOf(view.events);
  const { ms, ns } = view.events.effective;
  const found: number[] = [];
  for (let i = countUpTo(view.events, order, at) - 1; i >= 0 && ms[order[i]] === at.ms && ns[order[i]] === at.ns; i--) found.unshift(order[i]);
  return found;
}

// eventsUpTo returns how many of the events of the time shown are not behind an instant.
export function eventsUpTo(view: View, at: Instant): number {
  return countUpTo(view.events, orderOf(view.events), at);
}

function countUpTo(events: Events, order: Uint32Array, at: Instant): number {
  const { ms, ns } = events.effective;
  let [low, high] = [0, order.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (before(at.ms, at.ns, ms[order[middle]], ns[order[middle]])) high = middle;
    else low = middle + 1;
  }
  return low;
}

// orderOf returns the events of the time shown by time. They are so already, but for where a clock was set back: what is
// between two such places is merged.
function orderOf(events: Events): Uint32Array {
  const known = orders.get(events);
  if (known !== undefined) return known;
  const count = Math.max(0, events.last - events.first + 1);
  let order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[i] = events.first + i;
  const { ms, ns } = events.effective;
  let begins = [0];
  for (let i = events.first + 1; i <= events.last; i++) if (before(ms[i], ns[i], ms[i - 1], ns[i - 1])) begins.push(i - events.first);
  while (begins.length > 1) {
    const merged = new Uint32Array(count);
    const left: number[] = [];
    for (let r = 0; r < begins.length; r += 2) {
      left.push(begins[r]);
      const [middle, end] = [begins[r + 1] ?? count, begins[r + 2] ?? count];
      for (let i = begins[r], a = begins[r], b = middle; i < end; i++) {
        const second = a === middle || (b < end && before(ms[order[b]], ns[order[b]], ms[order[a]], ns[order[a]]));
        merged[i] = second ? order[b++] : order[a++];
      }
    }
    [order, begins] = [merged, left];
  }
  orders.set(events, order);
  return order;
}
