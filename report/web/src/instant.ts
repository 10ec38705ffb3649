// Instants: comparing, adding, reading and writing them.

import { civilMs, civilOf, daysOf, isCivil, offsetText, readCivil, writeCivil, type Civil } from "./civil.ts";
import type { Instant } from "./types.ts";
import { quote, refused } from "./wrongtimes.ts";
import { zoneOf, type Zone } from "./zone.ts";

// compare orders instants, also those since or for ever, whose milliseconds are infinite.
export function compare(a: Instant, b: Instant): number {
  return a.ms === b.ms ? a.ns - b.ns : a.ms - b.ms;
}

// add adds nanoseconds, fewer than 2^53 of them.
export function add(a: Instant, nanoseconds: number): Instant {
  const ms = Math.floor(nanoseconds / 1e6);
  const ns = a.ns + (nanoseconds - ms * 1e6);
  return ns < 1e6 ? { ms: a.ms + ms, ns } : { ms: a.ms + ms + 1, ns: ns - 1e6 };
}

// format writes an instant as leasectl does: RFC 3339, in UTC, to the nanosecond.
export function format(at: Instant): string {
  return formatBy(at, 0);
}

// formatIn writes it by the clocks of a zone, with their offset.
export function formatIn(at: Instant, zone: string): string {
  return formatBy(at, zoneOf(zone).offset(at.ms));
}

// formatShort writes it by the clocks of a zone as "2026-11-03 14:05:09", to the second.
export function formatShort(at: Instant, zone = "UTC"): string {
  return writeCivil(civilOf(at.ms, 0, zoneOf(zone).offset(at.ms)), clockSeconds);
}

function formatBy(at: Instant, offset: number): string {
  const c = civilOf(at.ms, 0, offset);
  const nanos = nanosOf(at);
  return `${writeCivil(c, "2006-01-02T15:04:05")}.${String(nanos).padStart(9, "0")}${offsetText(offset)}`;
}

function nanosOf(at: Instant): number {
  return (((at.ms % 1000) + 1000) % 1000) * 1e6 + at.ns;
}

// Layouts of a local time.
const clockSeconds = "2006-01-02 15:04:05";
const clockMinutes = "2006-01-02 15:04";

const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))$/;

const space = /[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;
const longest = 200; // characters of a time: a link may have any number of them

const beyondJournal = "beyond what a journal can hold";

// Found is an instant and the offset of the clock that it was written by, whose year must be one that a journal can hold.
interface Found {
  readonly at: Instant;
  readonly offset: number;
}

// parse reads a time as people write it: RFC 3339, Unix seconds, a local time in the zone, "-2h", "now", "yesterday 14:05"
// or "today 14:05". It takes what leasectl takes. What may mean two things, or none, it refuses with an error that says
// what to write instead.
export function parse(text: string, { now, zone }: { now: Instant; zone: string }): Instant {
  const s = trimmed(text);
  if (s.length > longest) throw new Error(`time ${quote(s.slice(0, 40) + "…")}: longer than any time`);
  const found = instantOf(s, now, zoneOf(zone));
  const year = typeof found === "string" ? 2000 : civilOf(found.at.ms, 0, found.offset).year;
  const why = typeof found === "string" ? found : year < 1678 || year > 2261 ? beyondJournal : "";
  if (typeof found === "string" || why !== "") throw new Error(`time ${quote(s)}: ${why}`);
  return found.at;
}

// trimmed is a text without the spaces around it: what Go's strings.TrimSpace leaves.
function trimmed(text: string): string {
  let [first, end] = [0, text.length];
  while (first < end && space.test(text[first])) first++;
  while (end > first && space.test(text[end - 1])) end--;
  return text.slice(first, end);
}

// fromRFC3339 reads RFC 3339 alone; null if it is none.
export function fromRFC3339(text: string): Instant | null {
  return exact(text)?.at ?? null;
}

function exact(s: string): Found | null {
  const m = rfc3339.exec(s);
  if (m === null) return null;
  const [year, month, day, hour, minute, second] = m.slice(1, 7).map(Number);
  if (month < 1 || month > 12 || day < 1 || day > daysOf(year, month) || hour > 23 || minute > 59 || second > 59) return null;
  const offset = m[8] === undefined ? 0 : (Number(m[9]) * 60 + Number(m[10])) * 60 * (m[8] === "-" ? -1 : 1);
  const nanos = Number((m[7] ?? "").padEnd(9, "0"));
  return { at: byClock({ year, month, day, hour, minute, second, nanos, offset }, offset), offset };
}

function byClock(c: Civil, offset: number): Instant {
  return { ms: civilMs(c) - offset * 1000 + Math.floor(c.nanos / 1e6), ns: c.nanos % 1e6 };
}

// instantOf returns the instant, or why there is none.
function instantOf(s: string, now: Instant, zone: Zone): Found | string {
  if (s === "now") return { at: now, offset: zone.offset(now.ms) };
  if (/\d[.,]\d{10,}(?:\D|$)/.test(s)) return "finer than nanoseconds";
  const found = exact(s);
  if (found !== null) return found;
  if (s.startsWith("-")) return ago(s, now);
  if (/^[\d.]+$/.test(s) && /\d/.test(s)) return unixTime(s);
  let clock = s;
  for (const [word, days] of [["today ", 0], ["yesterday ", -1]] as const) {
    if (!s.startsWith(word)) continue;
    clock = writeCivil(civilOf(now.ms + days * 86_400_000, 0, zone.offset(now.ms)), "2006-01-02 ") + s.slice(word.length);
    break;
  }
  for (const layout of [clockSeconds, clockMinutes]) {
    const read = readCivil(layout, clock);
    if (isCivil(read) && clock.startsWith(writeCivil(read, layout)) && !clock.includes(",")) return local(read, zone);
  }
  return refused(s);
}

// Units of a duration, in nanoseconds.
const units: Record<string, number> = { ns: 1, us: 1e3, "µs": 1e3, "μs": 1e3, ms: 1e6, s: 1e9, m: 6e10, h: 3.6e12 };

const wantDuration = "want a duration such as -2h, -90m, -1h30m or -3d";

// ago reads a duration before now: Go's units, and d for 24 hours.
function ago(s: string, now: Instant): Found | string {
  const m = /^-(?:(\d+)d)?(.*)$/s.exec(s)!;
  const days = BigInt(m[1] ?? 0);
  const rest = m[2] === "" && m[1] !== undefined ? 0n : duration(m[2]);
  if (rest === null || days > 65535n || (m[1] !== undefined && rest >= 86_400_000_000_000n)) return wantDuration;
  const ns = BigInt(now.ms) * 1_000_000n + BigInt(now.ns) - days * 86_400_000_000_000n - rest;
  const below = ((ns % 1_000_000n) + 1_000_000n) % 1_000_000n;
  return { at: { ms: Number((ns - below) / 1_000_000n), ns: Number(below) }, offset: 0 };
}

// duration reads one without a sign as Go's time.ParseDuration does, in nanoseconds; null if it is none.
function duration(text: string): bigint | null {
  if (text === "0") return 0n;
  if (!/^(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return null;
  let sum = 0n;
  for (const [, whole, fraction, unit] of text.matchAll(/(\d*)\.?(\d*)(ns|us|µs|μs|ms|s|m|h)/g)) {
    sum += BigInt(whole || 0) * BigInt(units[unit]);
    // As Go does it: in floating point, from those of the digits that a 63-bit number holds.
    let [value, scale] = [0n, 1];
    for (const digit of fraction) {
      const next = value * 10n + BigInt(digit);
      if (next > 1n << 63n) break;
      value = next;
      scale *= 10;
    }
    sum += BigInt(Math.trunc(Number(value) * (units[unit] / scale)));
    if (sum >= 1n << 63n) return null;
  }
  return sum;
}

// smallestUnixTime parts Unix seconds from other numbers: it is in 2001.
const smallestUnixTime = 1_000_000_000n;

const noSeconds = "no such number of seconds";

// unixTime reads seconds since 1970 exactly; a floating-point number would lose nanoseconds.
function unixTime(s: string): Found | string {
  const point = s.indexOf(".");
  const [whole, fraction] = point < 0 ? [s, ""] : [s.slice(0, point), s.slice(point + 1)];
  const years = (layout: string) => {
    const read = readCivil(layout, whole);
    return isCivil(read) && read.year > 1970 && read.year < 2100 ? read : null;
  };
  const day = whole.length === 8 ? years("20060102") : null;
  if (day !== null) return `a day alone: write ${quote(writeCivil(day, "2006-01-02 00:00"))} for its beginning`;
  const clock = whole.length === 14 ? years("20060102150405") : null;
  if (clock !== null) return `neither Unix seconds nor RFC 3339: write ${quote(writeCivil(clock, clockSeconds))}`;
  const seconds = whole === "" ? -1n : BigInt(whole);
  if (seconds < 0n || seconds >= 1n << 63n || fraction.includes(".")) return noSeconds;
  if (point < 0 && seconds >= smallestUnixTime * 1000n) return finerUnit(whole);
  if (seconds > (1n << 63n) / 1_000_000_000n) return noSeconds;
  if (seconds < smallestUnixTime) return "before 2001 as Unix seconds; those have ten digits now";
  const nanos = Number(fraction.padEnd(9, "0"));
  return { at: { ms: Number(seconds) * 1000 + Math.floor(nanos / 1e6), ns: nanos % 1e6 }, offset: 0 };
}

// finerUnit says how to write Unix time of a finer unit in seconds.
function finerUnit(digits: string): string {
  const unit = ({ 19: "nanoseconds", 16: "microseconds", 13: "milliseconds" } as Record<number, string>)[digits.length];
  return unit === undefined ? noSeconds : `looks like ${unit}: write Unix seconds, ${digits.slice(0, 10)}.${digits.slice(10)}`;
}

// local returns the one instant at which clocks in a zone show c. When clocks are put back there are two, when they are
// put forward none: both are refused.
function local(c: Civil, zone: Zone): Found | string {
  if (c.year < 1677 || c.year > 2262) return beyondJournal;
  const shown = civilMs(c);
  const offsets = [...new Set([-26, 26].map((hours) => zone.offset(shown + hours * 3_600_000)))]; // before and after a change
  const found = offsets.filter((offset) => zone.offset(shown - offset * 1000) === offset);
  if (found.length === 1) return { at: byClock(c, found[0]), offset: 0 };
  const written = offsets.map((offset) => `${writeCivil({ ...c, offset }, "2006-01-02T15:04:05.999999999Z07:00")} (${format(byClock(c, offset))})`);
  const how = found.length === 0 ? "were put forward over it and never showed it; write what is meant: " : "showed it twice; write which one is meant: ";
  return `clocks in ${zone.name} ${how}${written.join(" or ")}`;
}
