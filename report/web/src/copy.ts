// Intervals as text and as JSON, for who takes them elsewhere, and the way to the clipboard.
import { el } from "./dom.ts";
import { format } from "./instant.ts";
import { podText, printable } from "./text.ts";
import type { Instant, Journal, Lease, Report, View } from "./types.ts";

// Copied is what intervals are copied of.
export interface Copied {
  readonly report: Report;
  readonly view: View;
  readonly of: { readonly ip?: string; readonly container?: string; readonly pod?: string }; // the question
  readonly at: Instant;
  readonly state: string; // of an address at that instant, in words
  readonly leases: readonly Lease[];
}

// intervalsJSON is schema leaselog.report_intervals/1: the fields of leaselog.interval/1 that the page has. container_id_prefix is in
// place of container_id where the page has the ID's first digits alone.
export function intervalsJSON(c: Copied): string {
  const { report, view } = c;
  const answer = {
    schema: "leaselog.report_intervals/1",
    asked: { ...report.asked, network: view.network, ...c.of, at: format(c.at) },
    report: { version: report.version, made: report.made, from: format(view.from), to: format(view.to) },
    stores: view.journals.map((j) => store(view, j)),
    certainty: view.certainty,
    doubts: view.doubts,
    intervals: c.leases.map((lease) => interval(view, lease)),
  };
  return safeJSON(JSON.stringify(answer, null, 2)) + "\n";
}

function store(view: View, j: Journal): object {
  return { network: view.network, node: j.node, store_id: j.id, dir: j.dir, live: j.live, first_seq: j.firstSeq, last_seq: j.lastSeq,
    first_time: j.firstTime, last_time: j.lastTime };
}

function interval(view: View, l: Lease): object {
  const end = l.end && {
    seq: l.endSeq, time: format(l.endRecorded ?? l.end), effective: format(l.end), reason: l.reason, ...(l.text && { text: l.text }),
    window_start: format(l.windowStart ?? l.end),
  };
  const journal = view.journals[l.journal];
  return {
    network: view.network,
    ip: l.address,
    ...(l.shortened ? { container_id_prefix: l.containerID } : { container_id: l.containerID }),
    ifname: l.ifname,
    pod: { namespace: l.podNamespace, name: l.podName },
    start: { seq: l.startSeq, time: format(l.startRecorded), effective: format(l.start) },
    end,
    ...(!end && l.windowStart && { window_start: format(l.windowStart) }),
    origin: l.origin,
    certainty: l.certainty,
    doubts: l.doubts,
    evidence: { node: journal.node, store_id: journal.id, file: l.file, first_seq: l.startSeq, last_seq: l.lastSeq },
  };
}

// safeJSON escapes what does not print in strings. Beyond ASCII a JSON text has only strings.
export function safeJSON(json: string): string {
  return json.replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} \n]|\p{Default_Ignorable_Code_Point}|\u2800/gu, (c) => {
    let escaped = "";
    for (let i = 0; i < c.length; i++) escaped += "\\u" + c.charCodeAt(i).toString(16).padStart(4, "0");
    return escaped;
  });
}

// endText says when a lease ended. A copy does not tell what became of it since.
export function endText(l: Lease): string {
  if (l.end) return format(l.end);
  return l.lost || l.certainty === "unknown" ? "unknown" : l.live ? "still held" : "no end is recorded";
}

function toText(l: Lease): string {
  const end = endText(l);
  return l.end || end === "unknown" ? ` to ${end}` : `, ${end}`;
}

export function reasonText(l: Lease): string {
  return l.text ? `${l.reason}, ${l.text}` : l.reason;
}

// intervalsText is a few lines for each interval, below what they are of.
export function intervalsText(c: Copied): string {
  const { report, view } = c;
  const lines = [`leaselog: network ${quote(view.network)} of node ${quote(view.node)}, intervals of ${printable(Object.values(c.of).join(" "))}`];
  if (c.state) lines.push(`at ${format(c.at)}: ${c.state}`);
  lines.push(`from a report of ${report.made} by leasectl ${report.version}, of ${format(view.from)} to ${format(view.to)}, certainty: ${view.certainty}`);
  for (const d of view.doubts) lines.push(`doubt: ${printable(d)}`);
  for (const l of c.leases) {
    const pod = podText(l);
    lines.push("", `${l.address}  ${pod ? `pod ${printable(pod)}  ` : ""}container ${printable(l.containerID)}${l.shortened ? "..." : ""}  ${printable(l.ifname)}`);
    lines.push(`  from ${format(l.start)} (event ${l.startSeq})${toText(l)}${l.endSeq ? ` (event ${l.endSeq}, ${printable(reasonText(l))})` : ""}`);
    for (const [what, at, recorded] of [["start", l.start, l.startRecorded], ["end", l.end, l.endRecorded]] as const) {
      if (at && recorded && format(at) !== format(recorded)) lines.push(`  ${what} recorded as ${format(recorded)}`);
    }
    if (l.windowStart) lines.push(`  use is uncertain from ${format(l.windowStart)}`);
    lines.push(`  ${l.certainty}; journal ${view.journals[l.journal].id} of node ${quote(view.journals[l.journal].node)}, ${printable(l.file)}, events ${l.startSeq}-${l.endSeq || ""}`);
    for (const d of l.doubts) lines.push(`  doubt: ${printable(d)}`);
  }
  return lines.join("\n") + "\n";
}

function quote(text: string): string {
  return `"${printable(text)}"`;
}

// shell quotes a word for a shell's command line. What does not print is written in the form that bash, zsh and ksh know.
export function shell(word: string): string {
  if (/^[\w./:@%+=,-]+$/.test(word)) return word;
  if (!/[^\p{L}\p{N}\p{P}\p{S} ]/u.test(word)) return `'${word.replaceAll("'", "'\\''")}'`;
  const bytes = new TextEncoder().encode(word);
  return "$'" + Array.from(bytes, (b) => (b < 32 || b > 126 || b === 39 || b === 92 ? "\\x" + b.toString(16).padStart(2, "0") : String.fromCharCode(b))).join("") + "'";
}

// copy puts text on the clipboard and returns what became of it. Pages opened from disk may lack the clipboard of the browser, or be
// forbidden it: then the old way is tried, and after that the text is selected for the reader to copy.
export async function copy(text: string, beside: HTMLElement): Promise<string> {
  beside.parentElement?.querySelector(".copied")?.remove();
  try {
    await navigator.clipboard.writeText(text);
    return "copied";
  } catch {
    // the other ways
  }
  const area = el("textarea", { class: "copied", name: "copied", readonly: true, rows: 6, "aria-label": "text to copy" });
  area.value = text;
  beside.after(area);
  area.select();
  if (document.execCommand("copy")) {
    area.remove();
    beside.focus();
    return "copied";
  }
  return "not copied: the browser does not let this page. The text is selected: copy it by hand";
}

// copyButton is one that copies, and says what became of it.
export function copyButton(face: string, text: () => string, say: (words: string) => void): HTMLElement {
  const made = el("button", { type: "button" }, face);
  const words = el("span", { class: "soft" });
  made.addEventListener("click", async () => {
    const result = await copy(text(), made);
    words.textContent = result === "copied" ? "copied to the clipboard" : result;
    say(`${face}: ${result}`);
  });
  return el("span", { class: "copier" }, made, " ", words);
}
