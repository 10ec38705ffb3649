// Why a text is not taken for a time, and what to write instead: as leasectl says it.

import { isCivil, readCivil, writeCivil } from "./civil.ts";

const nano = "2006-01-02T15:04:05.999999999Z07:00"; // RFC 3339
const clockSeconds = "2006-01-02 15:04:05";
const clockMinutes = "2006-01-02 15:04";
const withZone = "not in the form of RFC 3339";
const noZone = "no zone is given: Z is UTC, and a space instead of the T means the zone chosen here";
const abbreviation = "an abbreviation means several zones: write an offset, or Z for UTC";
const twelve = "a clock of 12 hours";
const noDay = "a clock of 12 hours, and no day";
const twoDigits = "month, day and hour have two digits";
const slashes = "want - between year, month and day";

// Usual forms of a time that are not taken, and how what they say is written instead: "" if it can't be told.
const wrongTimes: readonly (readonly [layout: string, why: string, write: string])[] = [
  ["2006-01-02", "a day alone", "2006-01-02 00:00"],
  ["2006-01-02T15:04:05", noZone, "2006-01-02T15:04:05Z"],
  ["2006-01-02T15:04", noZone, "2006-01-02T15:04:05Z"],
  ["2006-01-02T15:04Z07:00", "RFC 3339 has seconds", nano],
  ["2006-01-02T15:04:05Z07:00", withZone, nano],
  ["2006-01-02T15:04:05Z0700", withZone, nano],
  ["2006-01-02T15:04:05Z07", withZone, nano],
  ["2006-01-02 15:04:05Z07:00", withZone, nano],
  ["2006-01-02 15:04Z07:00", withZone, nano],
  ["2006-01-02 15:04:05 Z07:00", withZone, nano],
  ["2006-01-02 15:04:05 -0700", withZone, nano],
  ["2006-01-02 15:04:05 -0700 MST", withZone, nano],
  ["2006-01-02 15:04:05 MST", abbreviation, "2006-01-02T15:04:05Z"],
  ["20060102T150405Z0700", withZone, nano],
  ["20060102T150405", "no zone is given: Z is UTC, and this means the zone chosen here", clockSeconds],
  ["2006-01-02 3:04:05 PM", twelve, clockSeconds],
  ["2006-01-02 3:04:05PM", twelve, clockSeconds],
  ["2006-01-02 3:04 PM", twelve, clockMinutes],
  ["2006-01-02 3:04PM", twelve, clockMinutes],
  ["3:04 PM", noDay, "yesterday 15:04"],
  ["3:04PM", noDay, "yesterday 15:04"],
  ["3PM", noDay, "yesterday 15:04"],
  ["15:04:05", "no day is given", "today 15:04:05"],
  ["15:04", "no day is given", "today 15:04"],
  ["2006-1-2 15:04:05", twoDigits, clockSeconds],
  ["2006-1-2 15:04", twoDigits, clockMinutes],
  ["2006/1/2 15:04:05", slashes, clockSeconds],
  ["2006/1/2 15:04", slashes, clockMinutes],
  ["02/Jan/2006:15:04:05 -0700", withZone, nano],
  ["Mon, 02 Jan 2006 15:04:05 -0700", withZone, nano],
  ["Mon, 02 Jan 2006 15:04:05 MST", abbreviation, "2006-01-02T15:04:05Z"],
  ["Mon Jan _2 15:04:05 MST 2006", abbreviation, "2006-01-02T15:04:05Z"],
  ["Mon Jan _2 15:04:05 2006", "no zone is given: this means the zone chosen here", clockSeconds],
  ["Jan _2 15:04:05", "no year is given", ""],
  ["2006-01", "a month alone", ""],
];

// Forms that no layout tells; $1 and so on are parts of what was given.
const saidWrong: readonly (readonly [form: RegExp, say: string])[] = [
  [/^$/, "it is empty"],
  [/^@(\d+(?:\.\d+)?)$/, "write it without the @: $1"],
  [/^(\d{1,2})[/.](\d{1,2})[/.](\d{2,4})\b.*/, 'which number is the day and which the month can\'t be told: write year-month-day, "2026-11-03 14:05"'],
  [/^\+.*/, "the future is not recorded; -2h is two hours ago"],
  [/^[−–—](.*)$/, "the minus is another character: write -$1"],
  [/^(\d+) ?(?:h|hr|hrs|hours?)(?: ago)?$/, "write -$1h for that long ago"],
  [/^(\d+) ?(?:m|min|mins|minutes?)(?: ago)?$/, "write -$1m for that long ago"],
  [/^(\d+) ?(?:d|days?)(?: ago)?$/, "write -$1d for that long ago"],
  [/^(\d+) ?(?:s|sec|secs|seconds?)(?: ago)?$/, "write -$1s for that long ago"],
  [/^(today|yesterday)$/, 'no time of the day is given: write "$1 14:05"'],
  [/^(\d\d:\d\d(?::\d\d)?) (today|yesterday)$/, 'write "$2 $1"'],
  [/^tomorrow\b.*/, "the future is not recorded"],
  [/^now$/i, "write now"],
  [/^(today|yesterday) .*$/i, 'want "yesterday 14:05", in lower case and of 24 hours'],
  [/^(.*\d)[ T]24:00(?::00)?\D*$/, "a day ends before 24:00: write 00:00 of the next one"],
  [/^.*:\d\d:60(?:\D.*)?$/, "a leap second: clocks show :59 or :00 of the next minute"],
  [/^\d+(?:\.\d+)?[eE]\+?\d+$/, "write Unix seconds as a plain number"],
];

// refused returns the reason.
export function refused(s: string): string {
  const comma = /\d,\d/.exec(s);
  if (comma !== null) return `a decimal comma: write ${quote(s.slice(0, comma.index + 1) + "." + s.slice(comma.index + 2))}`;
  let text = s.replace(/\d ?[ap]\.?m\.?$/i, (half) => half.replaceAll(".", "").toUpperCase());
  if (/^\d{4}-\d\d-\d\d[tT]/.test(s)) text = s.toUpperCase();
  let beyond = ""; // a part that there is not
  for (const [layout, why, write] of wrongTimes) {
    const read = readCivil(layout, text);
    if (isCivil(read)) return write === "" ? why : `${why}: write ${quote(writeCivil(read, write))}`;
    if (read.beyond !== "" && layout.startsWith("2006-") && !layout.includes("PM")) beyond = read.beyond;
  }
  for (const [form, say] of saidWrong) {
    const m = form.exec(s);
    if (m !== null) return say.replace(/\$(\d)/g, (_, group: string) => m[Number(group)]);
  }
  if (beyond !== "") return `there is no such ${beyond}`;
  return 'want RFC 3339, Unix seconds, "2026-11-03 14:05", "yesterday 14:05", "-2h" or "now"';
}

const escapes: Record<string, string> = {
  '"': '\\"', "\\": "\\\\", "\x07": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
};

// quote writes a text in quotes, with what can't be seen escaped, as Go does.
export function quote(text: string): string {
  const shown = Array.from(text, (c) => {
    if (escapes[c] !== undefined) return escapes[c];
    if (/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(c)) return c;
    const hex = c.codePointAt(0)!.toString(16);
    return hex.length > 4 ? "\\U" + hex.padStart(8, "0") : c < " " || c === "\x7f" ? "\\x" + hex.padStart(2, "0") : "\\u" + hex.padStart(4, "0");
  });
  return `"${shown.join("")}"`;
}
