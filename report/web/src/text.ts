// Text of the journal is hostile: here it becomes harmless, and numbers and times become text.
import { el } from "./dom.ts";
import type { Instant } from "./types.ts";

// What has no shape of its own, or turns text around: all but letters, marks, numbers, punctuation, symbols and the
// ASCII space, as leasectl's tables have it, and the letters and symbols that show nothing. Marks that are too many would cover other lines.
const shapeless = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]|\p{Default_Ignorable_Code_Point}|[\u2800\\]|^\p{M}|(?<=\p{M}{2})\p{M}/gu;

// printable escapes what does not print, as Go does in strings, and backslashes, so that it stays unambiguous.
export function printable(text: string): string {
  return text.replace(shapeless, (c) => {
    const code = c.codePointAt(0)!;
    if (c === "\\") return "\\\\";
    if (code < 0x80) return "\\x" + code.toString(16).padStart(2, "0");
    if (code > 0xffff) return "\\U" + code.toString(16).padStart(8, "0");
    return "\\u" + code.toString(16).padStart(4, "0");
  });
}

// cut shortens what is longer, between characters.
export function cut(text: string, most: number): string {
  if (text.length <= most) return text;
  const high = text.charCodeAt(most - 1);
  return text.slice(0, high >= 0xd800 && high < 0xdc00 ? most - 1 : most) + "…";
}

// quoted is an element with text of the journal that can't disturb its surroundings. What is longer than most is cut; all of it is in
// its tooltip.
export function quoted(text: string, most = 90): HTMLElement {
  const all = printable(text);
  const made = el("bdi", {}, cut(all, most));
  if (all.length > most) made.title = all;
  return made;
}

// quotedPod is a pod's namespace and name, each by itself, so that neither turns the other around.
export function quotedPod(of: { readonly podNamespace: string; readonly podName: string }, most: number): HTMLElement {
  return el("span", { dir: "ltr" }, quoted(of.podNamespace, most), "/", quoted(of.podName, most));
}

// whole is quoted, with a button behind what was cut that shows all of it.
export function whole(text: string, most = 200): HTMLElement {
  const all = printable(text);
  const shown = el("bdi", {}, cut(all, most));
  const made = el("span", { class: "wrap" }, shown);
  if (all.length > most) {
    const more = el("button", { type: "button", class: "more" }, `all ${count(all.length)} characters`);
    more.addEventListener("click", () => {
      shown.textContent = all;
      more.remove();
    });
    made.append(" ", more);
  }
  return made;
}

// shortID shortens the 64 hex digits that runtimes use, as leasectl's tables do.
export function shortID(id: string, shortened = false): string {
  return shortened || /^[0-9a-f]{64}$/.test(id) ? id.slice(0, 13) + "…" : id;
}

export function podText(of: { readonly podNamespace: string; readonly podName: string }): string {
  return of.podNamespace || of.podName ? of.podNamespace + "/" + of.podName : "";
}

// scrolled holds what may be wider than the page, so that it can be scrolled by keyboard, too.
export function scrolled(label: string, what: HTMLElement): HTMLElement {
  return el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": label }, what);
}

// count writes a number in groups of three digits.
export function count(n: number): string {
  return n.toLocaleString("en");
}

export function counted(n: number, one: string, many = one + "s"): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

// lasted writes a duration as leasectl does: 49h5m0s, 1m20s, 3.25s. Digits that nobody reads are left out.
export function lasted(ms: number): string {
  if (ms < 0) return "-" + lasted(-ms);
  if (ms < 1) return ms === 0 ? "0s" : +(ms * 1000).toPrecision(3) + "µs";
  if (ms < 1000) return +ms.toPrecision(3) + "ms";
  if (ms < 100_000) ms = Math.round(ms / 10) * 10;
  else ms = Math.round(ms / 1000) * 1000;
  const s = +((ms / 1000) % 60).toFixed(2);
  const minutes = Math.floor(ms / 60_000);
  if (minutes === 0) return `${s}s`;
  return minutes < 60 ? `${minutes}m${s}s` : `${Math.floor(minutes / 60)}h${minutes % 60}m${s}s`;
}

// between is the time from one instant to another, in milliseconds.
export function between(from: Instant, to: Instant): number {
  return to.ms - from.ms + (to.ns - from.ns) / 1e6;
}

const formats = new Map<string, Intl.DateTimeFormat>();

// inZone writes an instant in a zone, to the second, with its offset from UTC: 2026-11-03 14:05:09 UTC+1.
export function inZone(at: Instant, zone: string): string {
  let format = formats.get(zone);
  if (!format) {
    const digits = "2-digit";
    format = new Intl.DateTimeFormat("sv-SE", {
      timeZone: zone, year: "numeric", month: digits, day: digits, hour: digits, minute: digits, second: digits, timeZoneName: "shortOffset",
    });
    formats.set(zone, format);
  }
  return format.format(at.ms).replace("GMT", "UTC");
}
