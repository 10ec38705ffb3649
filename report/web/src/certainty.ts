// The band above the grid: how certain the table is as a whole, what of the addresses is unknown, and why.
import { button, el, element } from "./dom.ts";
import { Open } from "./open.ts";
import { count, counted, printable } from "./text.ts";
import type { Moment, Page, View } from "./types.ts";

const shown = 3; // doubts that are shown at once

// Words are what the band says.
export interface Words {
  readonly class: "band" | "band warn" | "band bad";
  readonly head: string;
  readonly lines: readonly string[];
  readonly leads: boolean; // to addresses that are uncertain or unknown
}

// wordsOf puts a moment into words.
export function wordsOf(moment: Moment, of: Open): Words {
  const { certainty, doubts, held, open } = moment;
  const { unsure, unknown, others, why } = of.at(moment);
  const hint = open && certainty !== "unknown" && doubts.length === 0 ? ["leases may be missing here, or be shown that were not held"] : [];
  const lines = [...hint, ...doubts, ...why.filter((text) => !doubts.includes(text))];
  const leads = unsure > 0 || unknown > 0 || others;
  if (certainty === "unknown") return { class: "band bad", head: "Unknown", lines, leads: false };
  let head = `${counted(held, "address", "addresses")} held`;
  if (unsure > 0) head += `, ${unsure === held ? "all" : count(unsure)} of them uncertain`;
  if (others) head += "; the others are unknown";
  else if (unknown > 0) head += `; ${count(unknown)} unknown`;
  const part = unknown > 0 || others;
  const first = part ? (held === 0 ? "Unknown" : "Unknown in part") : certainty === "certain" ? "Certain" : "Uncertain";
  return { class: part ? "band bad" : certainty === "certain" ? "band" : "band warn", head: `${first}: ${head}`, lines, leads };
}

// mountCertainty returns what goes to the next address that is uncertain or unknown.
export function mountCertainty(page: Page): () => void {
  const band = element("certainty");
  const all = new Map<View, Open>();
  const open = (): Open => {
    const { view } = page.moment;
    let made = all.get(view);
    if (!made) all.set(view, (made = new Open(view)));
    return made;
  };
  const next = (): void => {
    const ip = open().next(page.moment, page.selection.ip);
    if (ip) page.set({ ip });
    else page.say("no address is uncertain or unknown at this instant");
  };
  const lead = button("next", "next uncertain or unknown address (u)", next);
  lead.id = "next-open";
  const head = el("strong", {});
  const line = el("span", { class: "band-line" }, head, lead);
  const doubts = el("span", {});
  band.append(line, doubts);
  let before = "";
  const tell = (): void => {
    const words = wordsOf(page.moment, open());
    const now = JSON.stringify(words);
    if (now === before) return;
    before = now;
    band.className = words.class;
    head.textContent = words.head;
    lead.hidden = !words.leads;
    const lines = words.lines.map((text) => el("span", { class: "doubt" }, el("bdi", {}, printable(text))));
    const parts: Node[] = lines.slice(0, shown);
    if (lines.length > shown) parts.push(el("details", { class: "doubt" }, el("summary", {}, `${count(lines.length - shown)} more`), ...lines.slice(shown)));
    doubts.replaceChildren(...parts);
  };
  page.listen(tell);
  tell();
  addEventListener("beforeprint", () => band.querySelectorAll("details").forEach((more) => (more.open = true))); // nobody can open it on paper
  return next;
}
