// The band above the grid: how certain the table is as a whole, and why it is not.
import { el, element } from "./dom.ts";
import { count, counted, printable } from "./text.ts";
import { State, type Moment, type Page } from "./types.ts";

const shown = 3; // doubts that are shown at once

export function mountCertainty(page: Page): void {
  const band = element("certainty");
  let before = "";
  const tell = (): void => {
    const { certainty, doubts, held, open } = page.moment;
    const n = certainty === "uncertain" ? unsure(page.moment) : 0;
    const of = n ? `, ${n === held ? "all" : count(n)} of them uncertain` : "";
    const head = certainty === "unknown" ? "Unknown" : `${certainty === "certain" ? "Certain" : "Uncertain"}: ${counted(held, "address", "addresses")} held${of}`;
    const hint = open && certainty !== "unknown" ? "leases may be missing here, or be shown that were not held" : "";
    const all = [...(hint && doubts.length === 0 ? [hint] : []), ...doubts];
    const now = head + "\n" + all.join("\n");
    if (now === before) return;
    before = now;
    band.className = certainty === "certain" ? "band" : certainty === "unknown" ? "band bad" : "band warn";
    const lines = all.map((doubt) => el("span", { class: "doubt" }, el("bdi", {}, printable(doubt))));
    const parts: (Node | string)[] = [el("strong", {}, head), ...lines.slice(0, shown)];
    if (lines.length > shown) {
      const rest = el("details", { class: "doubt" }, el("summary", {}, `${count(lines.length - shown)} more`), ...lines.slice(shown));
      parts.push(rest);
    }
    band.replaceChildren(...parts);
  };
  page.listen(tell);
  tell();
}

// unsure counts the addresses whose holder is uncertain.
function unsure(moment: Moment): number {
  let n = 0;
  for (let i = 0; i < moment.view.addresses.count; i++) if (moment.state(i) === State.held && !moment.sure(i)) n++;
  return n;
}
