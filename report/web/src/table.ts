// The lease table at the instant, in words: what the grid shows, and what `leasectl at` prints. It is made when it is opened.
import { button, el } from "./dom.ts";
import { none } from "./find.ts";
import { format } from "./instant.ts";
import { matcherOf } from "./search.ts";
import { count, counted, inZone, podText, quoted, quotedPod, scrolled, shortID } from "./text.ts";
import { State } from "./types.ts";
import type { Page } from "./types.ts";

const paged = 100; // rows at once
const printed = 1000; // rows on paper

interface Row {
  readonly lease: number;
  readonly sure: boolean;
}

export function mountTable(page: Page, into: HTMLElement): void {
  const caption = el("caption", {});
  const body = el("tbody", {});
  const heads = ["address", "container", "pod", "since", "event", "certainty"].map((h) => el("th", { scope: "col" }, h));
  const table = el("table", { class: "leases" }, caption, el("thead", {}, el("tr", {}, ...heads)), body);
  const filter = el("input", { type: "checkbox", id: "table-filter", checked: true });
  const filterLine = el("label", { for: "table-filter" }, filter, " only what the search finds");
  const where = el("span", { role: "status" });
  const before = button("before", "Rows before", () => turn(-paged));
  const after = button("next", "Next rows", () => turn(paged));
  const details = el("details", {}, el("summary", {}, el("h2", {}, "Lease table")),
    el("div", { class: "bar controls" }, filterLine, before, where, after), scrolled("Lease table", table));
  const unprinted = el("p", { class: "on-paper" });
  into.append(unprinted, details);
  let offset = 0;
  let due = 0;
  let last = 0; // when it was made

  const turn = (by: number) => {
    offset += by;
    make();
  };
  const make = (onPaper = false) => {
    last = performance.now();
    const rows = rowsAt(page, filter.checked);
    offset = Math.min(offset, Math.max(Math.floor((rows.length - 1) / paged) * paged, 0));
    const begin = onPaper ? 0 : offset;
    const end = Math.min(begin + (onPaper ? printed : paged), rows.length);
    const focused = body.contains(document.activeElement) ? document.activeElement!.textContent : null;
    body.replaceChildren(...rows.slice(begin, end).map((row) => line(page, row)));
    if (focused !== null) Array.from(body.querySelectorAll("button")).find((b) => b.textContent === focused)?.focus();
    where.textContent = rows.length ? `${count(offset + 1)} to ${count(end)} of ${count(rows.length)}` : "no rows";
    before.disabled = offset === 0;
    after.disabled = end === rows.length;
    const asked = page.selection.query.trim() !== "";
    filterLine.hidden = !asked;
    caption.replaceChildren(...captionOf(page, rows.length, asked && filter.checked));
    if (onPaper && end < rows.length) caption.append(`; the first ${count(end)} are below, the other ${count(rows.length - end)} are left out`);
  };
  // While the slider moves, some pictures a second will do.
  const later = () => {
    if (!details.open || due) return;
    due = setTimeout(() => {
      due = 0;
      if (details.open) make();
    }, Math.max(150 - (performance.now() - last), 0));
  };
  details.addEventListener("toggle", later);
  addEventListener("beforeprint", () => {
    unprinted.hidden = details.open;
    if (details.open) make(true);
    else unprinted.textContent = `Lease table: ${counted(rowsAt(page, false).length, "lease")} at ${format(page.selection.at)}, left out here. Open the table before printing.`;
  });
  addEventListener("afterprint", () => {
    if (details.open) make();
  });
  filter.addEventListener("change", later);
  page.listen((now, was) => {
    if (now.at !== was.at || now.view !== was.view || now.query !== was.query || now.zone !== was.zone || now.ip !== was.ip) later();
  });
}

function captionOf(page: Page, rows: number, filtered: boolean): (Node | string)[] {
  const { moment, selection } = page;
  const zone = selection.zone === "UTC" ? "" : ` (${inZone(selection.at, selection.zone)})`;
  const words = `${counted(rows, "lease")} at ${format(selection.at)}${zone}${filtered ? " that the search finds" : ""}, network `;
  const open = moment.open ? "; leases may be missing, or be there that were not held" : "";
  const nodes: (Node | string)[] = [words, quoted(moment.view.network), ": ", el("strong", {}, moment.certainty), open];
  for (const doubt of moment.doubts) nodes.push("; ", quoted(doubt, 200));
  return nodes;
}

// rowsAt are the leases that are held at the instant, or may be, by address.
function rowsAt(page: Page, filtered: boolean): Row[] {
  const { moment } = page;
  const matcher = filtered ? matcherOf(page) : null;
  const rows: Row[] = [];
  const { addresses } = moment.view;
  for (let i = 0; i < addresses.count; i++) {
    if (moment.state(i) !== State.held) continue;
    const sure = moment.sure(i);
    const leases = sure ? [moment.lease(i)] : moment.cell(addresses.text(i)).leases;
    for (const lease of leases) {
      if (!matcher || matcher.rank(lease) !== none) rows.push({ lease, sure });
    }
  }
  return rows;
}

function line(page: Page, row: Row): HTMLElement {
  const l = page.moment.view.leases.of(row.lease);
  const choose = el("button", { type: "button", class: "link" }, l.address);
  choose.addEventListener("click", () => page.set({ ip: l.address, lease: row.lease }));
  const { zone } = page.selection;
  return el("tr", { "aria-current": l.address === page.selection.ip && "true" },
    el("th", { scope: "row" }, choose),
    el("td", {}, quoted(shortID(l.containerID, l.shortened), 40), l.ifname ? el("span", { class: "soft" }, " ", quoted(l.ifname, 20)) : ""),
    el("td", {}, podText(l) ? quotedPod(l, 63) : "-"),
    el("td", {}, format(l.start), zone === "UTC" ? "" : el("span", { class: "soft" }, ` ${inZone(l.start, zone)}`)),
    el("td", { class: "number" }, String(l.startSeq)),
    el("td", {}, row.sure ? "certain" : el("strong", { class: "doubtful" }, "uncertain")));
}
