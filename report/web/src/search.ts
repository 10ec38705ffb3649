// The search: a field, and below it the leases that it is about. Choosing one moves the page to it.
import { el } from "./dom.ts";
import { find, Matcher, type Found } from "./find.ts";
import { format } from "./instant.ts";
import { endText, reasonText } from "./copy.ts";
import { count, counted, cut, podText, printable, quoted, quotedPod, shortID } from "./text.ts";
import { compare } from "./instant.ts";
import type { Lease, Page } from "./types.ts";
import { cellAt, homeOf, nameOf, within } from "./views.ts";

const shown = 200; // results at once
const kept = 5000; // of which the detail is told

// mountSearch puts the search into its section. found is told of all leases that a search has found; of none if they are too many.
export function mountSearch(page: Page, into: HTMLElement, found: (leases: readonly number[]) => void): void {
  new Search(page, into, found);
}

// Hit is a lease that was found, of any network of the page.
interface Hit {
  readonly view: number;
  readonly lease: number;
}

class Search {
  private readonly page: Page;
  private readonly input = el("input", {
    type: "search", id: "search-input", role: "combobox", "aria-expanded": "false", "aria-controls": "search-results", "aria-autocomplete": "list",
    "aria-describedby": "search-hint", autocomplete: "off", spellcheck: "false", maxlength: 1000, placeholder: "address, CIDR, container ID, pod",
  });
  private readonly words = el("p", { class: "soft", id: "search-count", role: "status" });
  private readonly list = el("ul", { role: "listbox", id: "search-results", "aria-label": "Leases found", hidden: true });
  private readonly more = el("button", { type: "button", hidden: true });
  private asked = 0; // counts searches: a newer one ends those before
  private most = shown;
  private rows: Hit[] = [];
  private chosen: Hit | null = null; // stays the active one where another network's comes first
  private active = -1;
  private waiting = 0;
  private entered = false; // Enter was pressed before the search was done
  private readonly found: (leases: readonly number[]) => void;

  constructor(page: Page, into: HTMLElement, found: (leases: readonly number[]) => void) {
    this.page = page;
    this.found = found;
    const label = el("label", { for: "search-input" }, "Search");
    const hint = el("p", { id: "search-hint", class: "unseen" },
      "An address, a CIDR, a container ID or its beginning, a pod or a part of its name, a namespace. Arrow keys move through what was found, Enter chooses.");
    into.append(el("div", { class: "search-line" }, label, this.input, el("kbd", { "aria-hidden": "true" }, "/")), hint, this.words, this.list, this.more);
    this.input.value = page.selection.query;
    this.input.addEventListener("input", () => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => page.set({ query: this.input.value }), 120);
    });
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("click", (event) => {
      const row = (event.target as Element).closest("li");
      if (row) this.choose(Number(row.dataset.row));
    });
    this.more.addEventListener("click", () => {
      this.most += shown;
      void this.search();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
      event.preventDefault();
      this.input.focus();
      this.input.select();
    });
    page.listen((now, before) => {
      if (now.query === before.query && now.view === before.view) return;
      if (this.input.value !== now.query) this.input.value = now.query;
      this.most = shown;
      void this.search();
    });
    void this.search();
  }

  private key(event: KeyboardEvent): void {
    const last = this.rows.length - 1;
    const to = { ArrowDown: Math.min(this.active + 1, last), ArrowUp: Math.max(this.active - 1, -1), PageDown: Math.min(this.active + 10, last),
      PageUp: Math.max(this.active - 10, 0) }[event.key];
    if (to !== undefined && last >= 0) {
      event.preventDefault();
      this.activate(to);
    } else if (event.key === "Enter") {
      event.preventDefault();
      clearTimeout(this.waiting);
      if (this.input.value !== this.page.selection.query) {
        this.entered = true;
        this.page.set({ query: this.input.value });
        return;
      }
      this.choose(Math.max(this.active, 0));
    } else if (event.key === "Escape" && this.input.value !== "") {
      event.preventDefault();
      clearTimeout(this.waiting);
      this.page.set({ query: "" });
    }
  }

  private activate(row: number): void {
    this.list.children[this.active]?.setAttribute("aria-selected", "false");
    this.active = row;
    const option = this.list.children[row];
    if (option) {
      option.setAttribute("aria-selected", "true");
      option.scrollIntoView({ block: "nearest" });
      this.input.setAttribute("aria-activedescendant", option.id);
    } else this.input.removeAttribute("aria-activedescendant");
  }

  // choose goes to a lease that was found; or to the address that was asked for, if it had none.
  private choose(row: number): void {
    const { report, selection } = this.page;
    const hit = this.rows[row];
    if (hit === undefined) {
      const address = matcherOf(this.page)?.address;
      if (!address) return;
      const view = homeOf(report, selection.view, address, selection.at);
      this.page.set({ view, ip: address, at: within(report.views[view], selection.at) });
      return;
    }
    this.activate(row);
    this.chosen = hit;
    goToLease(this.page, hit.lease, hit.view);
  }

  // look asks all networks of the page, the one that is shown first. It is null when the result isn't wanted any more.
  private async look(matcher: Matcher, wanted: () => boolean): Promise<{ hits: Hit[]; here: Found; total: number } | null> {
    const { report, selection } = this.page;
    const pause = async (): Promise<boolean> => {
      await new Promise((go) => setTimeout(go));
      return wanted();
    };
    const here = await find(matcher, Math.max(kept, this.most), pause);
    if (!here) return null;
    const hits: Hit[] = here.rows.slice(0, this.most).map((lease) => ({ view: selection.view, lease }));
    let total = here.total;
    for (const [view, of] of report.views.entries()) {
      if (view === selection.view) continue;
      const found = await find(new Matcher(of, matcher.query), this.most, pause);
      if (!found) return null;
      total += found.total;
      for (const lease of found.rows.slice(0, this.most - hits.length)) hits.push({ view, lease });
    }
    return { hits, here, total };
  }

  private async search(): Promise<void> {
    const mine = ++this.asked;
    const matcher = matcherOf(this.page);
    if (!matcher) {
      this.chosen = null;
      this.show([], "", 0);
      this.found([]);
      return;
    }
    const late = setTimeout(() => {
      if (mine === this.asked) this.words.textContent = "searching…";
    }, 150);
    const found = await this.look(matcher, () => mine === this.asked);
    clearTimeout(late);
    if (!found || mine !== this.asked) return;
    const { hits, here, total } = found;
    let words = total === 0 ? "nothing found" : counted(total, "lease");
    if (total === 0 && matcher.address) words = `${matcher.address}: no lease in the time shown; Enter shows what it was`;
    else if (here.total < total) words += here.total === 0 ? ", all in other networks than the one shown" : `, ${count(total - here.total)} of them in other networks`;
    if (total > this.most) words += `, the first ${count(this.most)} are listed`;
    this.show(hits, words, total);
    this.found(here.rows.length === here.total ? here.rows : []);
    if (this.entered && (total === 1 || matcher.address)) this.choose(0);
    this.entered = false;
  }

  private show(rows: Hit[], words: string, total: number): void {
    this.rows = rows;
    this.active = -1;
    this.input.removeAttribute("aria-activedescendant");
    this.input.setAttribute("aria-expanded", String(rows.length > 0));
    this.words.textContent = words;
    this.list.hidden = rows.length === 0;
    const { report } = this.page;
    const several = report.views.length > 1;
    this.list.replaceChildren(...rows.map(({ view, lease }, row) => option(report.views[view].leases.of(lease), row, several ? nameOf(report, view) : "")));
    const again = this.chosen ? rows.findIndex(({ view, lease }) => view === this.chosen!.view && lease === this.chosen!.lease) : -1;
    if (again >= 0) this.activate(again);
    this.more.hidden = total <= rows.length;
    this.more.textContent = `${Math.min(shown, total - rows.length)} more of ${counted(total, "lease")}`;
  }
}

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLInputElement ? target.type !== "range" && target.type !== "button" && target.type !== "checkbox"
    : target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

function option(lease: Lease, row: number, network: string): HTMLElement {
  const pod = podText(lease);
  const id = shortID(lease.containerID, lease.shortened);
  const end = lease.end ? format(lease.end).slice(0, 19) + "Z" : endText(lease);
  return el("li", { role: "option", id: `search-${row}`, "data-row": row, "aria-selected": "false" },
    el("b", {}, lease.address), " ", pod ? quotedPod(lease, 63) : quoted(id, 80), pod ? el("span", { class: "soft" }, " ", quoted(id, 20)) : "",
    network ? el("span", { class: "soft" }, ", ", el("bdi", {}, cut(network, 160))) : "",
    el("span", { class: "soft when-line" }, `${format(lease.start).slice(0, 19)}Z to ${end}${lease.reason ? ", " + cut(printable(reasonText(lease)), 60) : ""}`
      + (lease.certainty === "certain" ? "" : `, ${lease.certainty}`)));
}

let last: Matcher | null = null;

// matcherOf is the matcher for what is searched for, null without a search. All parts of the page share it.
export function matcherOf(page: Page): Matcher | null {
  const view = page.moment.view;
  const query = page.selection.query.trim().toLowerCase();
  if (query === "") return null;
  if (!last || last.view !== view || last.query !== query) last = new Matcher(view, query);
  return last;
}

// goToLease chooses a lease's address, and the instant of its beginning unless it is held at the one that is shown.
export function goToLease(page: Page, lease: number, index = page.selection.view): void {
  const view = page.report.views[index];
  const { address: ip, start } = view.leases.of(lease);
  let { at } = page.selection;
  const shown = compare(at, within(view, at)) === 0;
  if (!shown || !cellAt(view, ip, at).leases.includes(lease)) at = compare(start, view.from) < 0 ? view.from : within(view, start);
  page.set({ view: index, ip, lease, at });
}
