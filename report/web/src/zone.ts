// Time zones, as the browser knows them.

import { quote } from "./wrongtimes.ts";

// Zone tells how far its clocks are ahead of UTC, in seconds.
export interface Zone {
  readonly name: string;
  offset(ms: number): number;
}

const longest = 64; // characters of a name
const zones = new Map<string, Zone>();

// zoneOf returns the zone of a name in the IANA database, or of an offset such as +02:00. It refuses others with an error that
// says why.
export function zoneOf(name: string): Zone {
  if (name.length > longest) throw new Error(`time zone ${quote(name.slice(0, 40) + "…")}: longer than any zone's name`);
  let zone = zones.get(name);
  if (zone === undefined) {
    zone = fixedZone(name) ?? namedZone(name);
    zones.set(name, zone);
  }
  return zone;
}

function fixedZone(name: string): Zone | null {
  if (name === "UTC") return { name, offset: () => 0 };
  const m = /^([+-])(\d\d)(?::?(\d\d))?$/.exec(name);
  if (m === null) return null;
  const [hours, minutes] = [Number(m[2]), Number(m[3] ?? 0)];
  if (hours > 14 || minutes > 59 || hours * 60 + minutes > 14 * 60) throw new Error(`time zone ${quote(name)}: there is no offset beyond 14 hours`);
  const seconds = (hours * 60 + minutes) * 60 * (m[1] === "-" ? -1 : 1);
  return { name, offset: () => seconds };
}

function namedZone(name: string): Zone {
  const clock = clockOf(name);
  if (clock === null || isOtherwise(name, clock)) {
    const proper = properZone(name);
    const short = name.length <= 4 && name !== "" && name === name.toUpperCase();
    const hint = proper !== "" ? `; ${proper} is one` : short ? "; abbreviations mean several zones" : "";
    throw new Error(`time zone ${quote(name)}: want a name such as Europe/Vienna, an offset such as +02:00, or UTC${hint}`);
  }
  return {
    name,
    offset(ms) {
      const shown: Record<string, number> = {};
      for (const { type, value } of clock.formatToParts(ms)) shown[type] = Number(value);
      const utc = Date.UTC(shown.year, shown.month - 1, shown.day, shown.hour, shown.minute, shown.second);
      return (utc - Math.floor(ms / 1000) * 1000) / 1000;
    },
  };
}

// clockOf returns a clock in a zone, null if the browser doesn't know the zone.
function clockOf(name: string): Intl.DateTimeFormat | null {
  if (!/^[A-Za-z]/.test(name)) return null;
  const two = "2-digit";
  try {
    return new Intl.DateTimeFormat("en-US", {
      timeZone: name, calendar: "gregory", numberingSystem: "latn", hourCycle: "h23",
      year: "numeric", month: two, day: two, hour: two, minute: two, second: two,
    });
  } catch {
    return null; // a RangeError: there is no such zone
  }
}

// isOtherwise reports whether a zone's name is written with other upper and lower case than here; browsers take both.
function isOtherwise(name: string, clock: Intl.DateTimeFormat): boolean {
  const known = clock.resolvedOptions().timeZone;
  return known !== name && known.toLowerCase() === name.toLowerCase();
}

// properZone returns the zone that differs from a name by upper and lower case or by spaces, "" if there is none.
function properZone(name: string): string {
  const clock = clockOf(name.replaceAll(" ", "_"));
  return clock === null ? "" : clock.resolvedOptions().timeZone;
}
