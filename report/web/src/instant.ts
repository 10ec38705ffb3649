// Instants: comparing, adding and writing them.

import type { Instant } from "./types.ts";

// compare orders instants.
export function compare(a: Instant, b: Instant): number {
  return a.ms - b.ms || a.ns - b.ns;
}

// add adds nanoseconds, fewer than 2^53 of them.
export function add(a: Instant, nanoseconds: number): Instant {
  const ms = Math.floor(nanoseconds / 1e6);
  const ns = a.ns + (nanoseconds - ms * 1e6);
  return ns < 1e6 ? { ms: a.ms + ms, ns } : { ms: a.ms + ms + 1, ns: ns - 1e6 };
}

// format writes an instant as leasectl does: RFC 3339, in UTC, to the nanosecond.
export function format(at: Instant): string {
  const text = new Date(at.ms).toISOString(); // 2026-11-03T14:05:00.123Z
  return text.slice(0, -1) + String(at.ns).padStart(6, "0") + "Z";
}
