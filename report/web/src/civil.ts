// Dates and clocks in forms that people write, read as Go's time.Parse reads them: leasectl and the page take, and refuse,
// the same.

// Civil is what a calendar and a clock show.
export interface Civil {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly nanos: number; // of the second
  readonly offset: number | null; // from UTC, in seconds; null if none is written
}

// Parts of a layout, as Go names them.
const part = /2006|01|02|15|04|05|03|PM|Jan|Mon|MST|Z07:00|Z0700|Z07|-0700|_2|\.999999999|1|2|3/g;

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

// Mismatch says that a text is not of a layout; beyond names the part that is of it, but that there is not.
interface Mismatch {
  readonly beyond: string;
}

// Fields are read one after the other.
interface Fields {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  nanos: number;
  offset: number | null;
  half: "" | "AM" | "PM";
}

// readCivil reads a text by a layout.
export function readCivil(layout: string, text: string): Civil | Mismatch {
  const f: Fields = { year: 0, month: 1, day: 1, hour: 0, minute: 0, second: 0, nanos: 0, offset: null, half: "" };
  const reader = new Reader(text);
  let at = 0;
  for (const m of layout.matchAll(part)) {
    if (!reader.skip(layout.slice(at, m.index))) return { beyond: "" };
    const beyond = readPart(m[0], reader, f);
    if (beyond !== null) return { beyond };
    at = m.index + m[0].length;
  }
  if (!reader.skip(layout.slice(at)) || reader.rest !== "") return { beyond: "" };
  if (f.half === "PM" && f.hour < 12) f.hour += 12;
  if (f.half === "AM" && f.hour === 12) f.hour = 0;
  if (f.day < 1 || f.day > daysOf(f.year, f.month)) return { beyond: "day" };
  return f;
}

export function isCivil(read: Civil | Mismatch): read is Civil {
  return !("beyond" in read);
}

export function daysOf(year: number, month: number): number {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return month === 2 ? (leap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
}

class Reader {
  rest: string;

  constructor(text: string) {
    this.rest = text;
  }

  // take takes what a pattern, which must begin with ^, finds.
  take(pattern: RegExp): RegExpExecArray | null {
    const m = pattern.exec(this.rest);
    if (m !== null) this.rest = this.rest.slice(m[0].length);
    return m;
  }

  // skip passes over what a layout has between its parts. A space stands for any number of them.
  skip(between: string): boolean {
    for (const piece of between.match(/ +|[^ ]/g) ?? []) {
      if (piece[0] === " ") {
        if (this.rest !== "" && this.rest[0] !== " ") return false;
        this.rest = this.rest.replace(/^ +/, "");
      } else if (this.rest[0] === piece) this.rest = this.rest.slice(1);
      else return false;
    }
    return true;
  }
}

const one = /^\d\d?/;
const two = /^\d\d/;
const fraction = /^[.,](\d+)/;

// readPart reads one part. It returns null if that is there, else the name of what is beyond its bounds, or "".
function readPart(name: string, r: Reader, f: Fields): string | null {
  const number = (pattern: RegExp, from: number, to: number, of: string, set: (n: number) => void) => {
    const m = r.take(pattern);
    if (m === null) return "";
    set(Number(m[0]));
    return Number(m[0]) < from || Number(m[0]) > to ? of : null;
  };
  switch (name) {
    case "2006": return number(/^\d{4}/, 0, 9999, "year", (n) => (f.year = n));
    case "01": return number(two, 1, 12, "month", (n) => (f.month = n));
    case "1": return number(one, 1, 12, "month", (n) => (f.month = n));
    case "02": return number(two, 0, 99, "day", (n) => (f.day = n));
    case "2": return number(one, 0, 99, "day", (n) => (f.day = n));
    case "_2": return number(/^ ?\d\d?/, 0, 99, "day", (n) => (f.day = n));
    case "15": return number(one, 0, 23, "hour", (n) => (f.hour = n));
    case "3": return number(one, 0, 12, "hour", (n) => (f.hour = n));
    case "03": return number(two, 0, 12, "hour", (n) => (f.hour = n));
    case "04": return number(two, 0, 59, "minute", (n) => (f.minute = n));
    case "05": {
      const wrong = number(two, 0, 59, "second", (n) => (f.second = n));
      const digits = wrong === null ? r.take(fraction) : null;
      if (digits !== null) f.nanos = Number(digits[1].slice(0, 9).padEnd(9, "0"));
      return wrong;
    }
    case "PM": {
      const half = r.take(/^[AP]M/);
      f.half = half === null ? "" : (half[0] as "AM" | "PM");
      return half === null ? "" : null;
    }
    case "Jan": {
      const month = months.indexOf(r.rest.slice(0, 3).toLowerCase());
      r.rest = r.rest.slice(3);
      f.month = month + 1;
      return month < 0 ? "" : null;
    }
    case "Mon": {
      const known = weekdays.includes(r.rest.slice(0, 3).toLowerCase());
      r.rest = r.rest.slice(3);
      return known ? null : "";
    }
    case "MST":
      return readAbbreviation(r) ? null : "";
  }
  return readOffset(name, r, f);
}

function readOffset(name: string, r: Reader, f: Fields): string | null {
  if (name[0] === "Z" && r.take(/^Z/) !== null) {
    f.offset = 0;
    return null;
  }
  const m = r.take(name === "Z07:00" ? /^(.)(\d\d):(\d\d)/s : name === "Z07" ? /^(.)(\d\d)()/s : /^(.)(\d\d)(\d\d)/s);
  if (m === null) return "";
  const [hours, minutes] = [Number(m[2]), Number(m[3])];
  if (minutes > 60) return "time zone offset minute";
  if (hours > 24) return "time zone offset hour";
  if (m[1] !== "+" && m[1] !== "-") return "";
  f.offset = (hours * 60 + minutes) * 60 * (m[1] === "-" ? -1 : 1);
  return null;
}

// readAbbreviation passes over what looks like the abbreviation of a zone.
function readAbbreviation(r: Reader): boolean {
  if (r.take(/^(?:UTC|ChST|MeST)/) !== null) return true;
  if (r.take(/^GMT(?:[+-](?:0*(?:1\d|2[0-3]|\d))(?!\d))?/) !== null) return true;
  if (r.rest.length >= 3 && r.take(/^[+-](?:0*(?:1\d|2[0-3]|\d))(?!\d)/) !== null) return true;
  return r.take(/^(?:[A-Z]{4}T|[A-Z]{3}T|WITA|[A-Z]{3})(?![A-Z])/) !== null;
}

const digits = (n: number, width: number) => String(n).padStart(width, "0");

// writeCivil writes by a layout.
export function writeCivil(c: Civil, layout: string): string {
  return layout.replace(part, (name) => {
    switch (name) {
      case "2006": return digits(c.year, 4);
      case "01": return digits(c.month, 2);
      case "02": return digits(c.day, 2);
      case "15": return digits(c.hour, 2);
      case "04": return digits(c.minute, 2);
      case "05": return digits(c.second, 2);
      case ".999999999": return c.nanos === 0 ? "" : "." + digits(c.nanos, 9).replace(/0+$/, "");
      case "Z07:00": return offsetText(c.offset ?? 0);
    }
    throw new RangeError(`layout ${layout} is not written`);
  });
}

// offsetText writes an offset in seconds as RFC 3339 does.
export function offsetText(offset: number): string {
  if (offset === 0) return "Z";
  const minutes = Math.trunc(Math.abs(offset) / 60);
  return (offset < 0 ? "-" : "+") + digits(Math.trunc(minutes / 60), 2) + ":" + digits(minutes % 60, 2);
}

// civilMs returns the milliseconds since 1970 at which a clock in UTC shows the whole seconds of c.
export function civilMs(c: Civil): number {
  const date = new Date(0);
  date.setUTCFullYear(c.year, c.month - 1, c.day);
  date.setUTCHours(c.hour, c.minute, c.second);
  return date.getTime();
}

// civilOf returns what a clock with an offset shows.
export function civilOf(ms: number, nanos: number, offset: number): Civil {
  const d = new Date(ms + offset * 1000);
  return {
    year: d.getUTCFullYear(), month: d.getUTCMonth() + 1, day: d.getUTCDate(),
    hour: d.getUTCHours(), minute: d.getUTCMinutes(), second: d.getUTCSeconds(), nanos, offset,
  };
}
