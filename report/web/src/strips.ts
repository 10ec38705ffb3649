// The strips: what became of the addresses over the time that the page shows.
import { Chart } from "./charts.ts";
import type { Series, Setup } from "./charts.ts";
import { endText } from "./copy.ts";
import { el } from "./dom.ts";
import { binsOf, capacitiesOf, longestOf, nothingTold, rateOf, reusesOf, useOf } from "./figures.ts";
import type { Bins, Reuses, Use } from "./figures.ts";
import { compare, format, fromRFC3339 } from "./instant.ts";
import { goToLease } from "./search.ts";
import { count, counted, inZone, lasted, podText, quoted, quotedPod, scrolled, shortID } from "./text.ts";
import type { Page, View } from "./types.ts";

const fine = 300; // bins of a drawing
const coarse = 48; // and of a table

export function mountStrips(page: Page, into: HTMLElement): void {
  const strips = new Strips(page, el("div", { class: "strips" }));
  into.append(el("h2", {}, "Over time"), strips.body);
}

class Strips {
  readonly body: HTMLElement;
  private readonly page: Page;
  private charts: Chart[] = [];
  private due = 0;
  private made = 0; // counts how often they were made

  constructor(page: Page, body: HTMLElement) {
    this.page = page;
    this.body = body;
    const make = () => void this.make();
    make();
    page.listen((now, before) => {
      if (now.view !== before.view || now.zone !== before.zone) make();
      else if (now.at !== before.at && !this.due) this.due = requestAnimationFrame(() => this.mark());
    });
    new ResizeObserver(() => this.fit()).observe(body);
    addEventListener("beforeprint", () => this.fit());
  }

  private mark(): void {
    this.due = 0;
    for (const chart of this.charts) chart.mark(this.page.selection.at);
  }

  private fit(): void {
    for (const chart of this.charts) chart.fit();
  }

  // make reckons and shows one strip after the other: those of a million events take a moment, in which the page is to answer.
  private async make(): Promise<void> {
    const mine = ++this.made;
    const view = this.page.moment.view;
    const bins = binsOf(view.from, view.to, fine);
    this.charts = [];
    this.body.replaceChildren();
    const use = useOf(view, bins);
    const steps = [() => this.inUse(view, bins, use), () => this.rate(bins, use), () => this.body.append(reuseStrip(this.page, reusesOf(view), nothingTold(use))),
      () => this.body.append(longestStrip(this.page, nothingTold(use)))];
    for (const step of steps) {
      await new Promise((go) => setTimeout(go));
      if (mine !== this.made) return;
      step();
    }
    this.fit();
    this.mark();
  }

  private strip(title: string, words: (Node | string)[], setup: Setup, table: () => HTMLElement): void {
    const place = el("div", { class: "chart", role: "img", "aria-label": `${title}, over time; the table below it says the same` });
    const details = el("details", { class: "as-table" }, el("summary", {}, "as a table"));
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) details.append(scrolled(`${title}, as a table`, table()));
    });
    this.body.append(el("section", { class: "strip", "aria-label": title }, el("h3", {}, title), el("p", { class: "soft" }, ...words), place, details));
    const go = (ms: number) => {
      const { from, to } = this.page.moment.view;
      let at = { ms: Math.floor(ms), ns: 0 };
      if (compare(at, from) < 0) at = from;
      if (compare(at, to) > 0) at = to;
      this.page.set({ at });
    };
    this.charts.push(new Chart(setup, place, go));
  }

  private inUse(view: View, bins: Bins, use: Use): void {
    const capacity = use.capacity.reduce((most, c) => Math.max(most, Number.isNaN(c) ? 0 : c), 0);
    const drawn = capacity > 0 && capacity <= use.peak * 5;
    const series: Series[] = [{ values: use.most, style: "c-most" }, { values: use.least, style: "c-least" }];
    if (drawn) series.push({ values: use.capacity, style: "c-capacity" });
    const words: (Node | string)[] = use.peakEvent < 0 ? [untold]
      : [`at most ${count(use.peak)} at once, `, peakLink(this.page, use.peakEvent)];
    words.push(capacityWords(view, use, capacity, drawn));
    if (use.unknown.includes(1)) words.push("; hatched: in this time or a part of it, what was held is unknown");
    const binWords = (i: number) => `${binText(this.page, bins, i)}: ${known(use.least[i])} to ${known(use.most[i])} leases${use.unknown[i] ? ", unknown in a part or all" : ""}`;
    this.strip("Leases in use", words, { bins, series, band: true, bars: false, unknown: use.unknown, most: Math.max(use.peak, drawn ? capacity : 0),
      zone: this.page.selection.zone, words: binWords }, () => useTable(this.page));
  }

  private rate(bins: Bins, use: Use): void {
    const rate = rateOf(this.page.moment.view, bins);
    const { adds, dels, refused } = rate.totals;
    const most = bins.count ? rate.adds.reduce((m, n, i) => Math.max(m, n + rate.dels[i] + rate.refused[i]), 0) : 0;
    const up = (...parts: Float64Array[]) => parts[0].map((_, i) => parts.reduce((sum, p) => sum + p[i], 0));
    const series = [ // each covers the lower part of the one before
      { values: up(rate.adds, rate.dels, rate.refused), style: "c-refuse" },
      { values: up(rate.adds, rate.dels), style: "c-del" },
      { values: rate.adds, style: "c-add" },
    ];
    const sample = (name: string, n: number, variable: string) => {
      const mark = el("span", { class: "sample", "aria-hidden": "true" });
      mark.style.background = `var(${variable})`;
      return el("span", { class: "sampled" }, mark, ` ${count(n)} ${name}`);
    };
    const nothing = nothingTold(use) && adds + dels + refused === 0;
    const words = nothing ? [untold] : [sample("ADD", adds, "--add"), sample("DEL", dels, "--del"), sample("refused", refused, "--refuse"), ` at least, per ${lasted(bins.width)}`];
    const binWords = (i: number) => `${binText(this.page, bins, i)}: ${count(rate.adds[i])} ADD, ${count(rate.dels[i])} DEL, ${count(rate.refused[i])} refused`;
    this.strip("ADD, DEL and refused", words, { bins, series, band: false, bars: true, unknown: use.unknown, most, zone: this.page.selection.zone, words: binWords },
      () => rateTable(this.page));
    this.body.append(el("section", { class: "strip", "aria-label": "Refusals by cause" }, el("h3", {}, "Refusals by cause"),
      refused === 0 ? el("p", { class: "soft" }, nothing ? untold : "none is recorded")
        : barTable(["cause", "at least"], rate.causes.map((c) => ({ name: c.cause, count: c.count, words: "" })))));
  }
}

function peakLink(page: Page, event: number): HTMLElement {
  const { seq, effective } = page.moment.view.events;
  const at = { ms: effective.ms[event], ns: effective.ns[event] };
  const made = el("button", { type: "button", class: "link time" }, format(at));
  made.addEventListener("click", () => page.set({ at: compare(at, page.moment.view.from) < 0 ? page.moment.view.from : at }));
  return el("span", {}, "first after event ", String(seq[event]), " at ", made);
}

const untold = "nothing is known of this time";

// many is a number of addresses; beyond what anybody counts as a power of two.
function many(n: number): string {
  return n < 2 ** 40 ? count(n) : `about 2^${Math.round(Math.log2(n))}`;
}

// capacityWords says how many addresses can be given. A sum of IPv4 and IPv6 would mean nothing.
function capacityWords(view: View, use: Use, capacity: number, drawn: boolean): string {
  if (capacity === 0) return view.phases.some((p) => p.known) ? "; capacity is unknown" : "";
  const { v4, v6 } = capacitiesOf(view);
  const how = drawn ? " (dashed)" : ", too many to draw";
  if (v4 > 0 && v6 > 0) return `, of ${many(v4)} IPv4 and ${many(v6)} IPv6 addresses that can be given${how}`;
  const share = (use.peak / capacity) * 100;
  const part = capacity >= 2 ** 40 ? "" : `${share >= 10 ? share.toFixed(0) : share.toPrecision(2)} % `;
  return `, ${part}of ${many(capacity)} that can be given${how}`;
}

function grid(caption: string, heads: string[], rows: (Node | string)[][]): HTMLElement {
  const cells = (row: (Node | string)[]) => row.map((cell, i) => (i === 0 ? el("th", { scope: "row" }, cell) : el("td", { class: "number" }, cell)));
  return el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, ...heads.map((h) => el("th", { scope: "col" }, h)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...cells(row)))));
}

function known(n: number): string {
  return Number.isNaN(n) ? "unknown" : count(n);
}

function binText(page: Page, bins: Bins, i: number): string {
  const at = { ms: bins.start + i * bins.width, ns: 0 };
  const { zone } = page.selection;
  return zone === "UTC" ? format(at).slice(0, bins.width < 1000 ? 23 : 19) + "Z" : inZone(at, zone);
}

function useTable(page: Page): HTMLElement {
  const view = page.moment.view;
  const bins = binsOf(view.from, view.to, coarse);
  const use = useOf(view, bins);
  const rows = Array.from(use.most, (most, i) => [binText(page, bins, i), known(use.least[i]), known(most), known(use.capacity[i]), use.unknown[i] ? "in a part or all" : "no"]);
  return grid(`Leases in use, in steps of ${lasted(bins.width)}`, ["from", "least", "most", "capacity", "unknown"], rows);
}

function rateTable(page: Page): HTMLElement {
  const view = page.moment.view;
  const bins = binsOf(view.from, view.to, coarse);
  const rate = rateOf(view, bins);
  const rows = Array.from(rate.adds, (adds, i) => [binText(page, bins, i), count(adds), count(rate.dels[i]), count(rate.refused[i])]);
  return grid(`Events, in steps of ${lasted(bins.width)}`, ["from", "ADD", "DEL", "refused, at least"], rows);
}

// barTable is a table whose counts are drawn, too.
function barTable(heads: [string, string], rows: { name: string; count: number; words: string }[]): HTMLElement {
  const most = Math.max(...rows.map((r) => r.count), 1);
  const body = rows.map((row) => {
    const bar = el("div", { class: "length" });
    bar.style.width = `${((row.count / most) * 100).toFixed(1)}%`;
    return el("tr", {}, el("th", { scope: "row" }, row.name), el("td", { class: "number" }, count(row.count)), el("td", { class: "bar-cell", "aria-hidden": "true" }, bar));
  });
  return el("table", { class: "bars" }, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, heads[0]), el("th", { scope: "col", class: "number" }, heads[1]), el("td", {}))),
    el("tbody", {}, ...body));
}

function reuseStrip(page: Page, reuses: Reuses, nothing: boolean): HTMLElement {
  const strip = el("section", { class: "strip", "aria-label": "Reuse" }, el("h3", {}, "How soon addresses are given again"));
  if (reuses.count === 0) strip.append(el("p", { class: "soft" }, nothing ? untold : "no address was given again in this time"));
  else {
    const link = el("button", { type: "button", class: "link" }, page.moment.view.leases.of(reuses.shortestLease).address);
    link.addEventListener("click", () => goToLease(page, reuses.shortestLease));
    strip.append(el("p", { class: "soft" }, `${counted(reuses.count, "reuse")}: median ${lasted(reuses.median)}, shortest ${lasted(reuses.shortest)}, of `, link),
      barTable(["from the end of a lease to the next one", "reuses"],
        reuses.bins.map((b) => ({ name: b.to === Infinity ? `${edge(b.from)} or more` : b.from === 0 ? `below ${edge(b.to)}` : `${edge(b.from)} to ${edge(b.to)}`, count: b.count, words: "" }))));
  }
  const left: string[] = [];
  if (reuses.negative) left.push(`${count(reuses.negative)} left out: by clocks that were set, the address was given again before it was given back`);
  if (reuses.uncertain) left.push(`${count(reuses.uncertain)} left out: within the error of the clocks, or these were not synchronised`);
  const { from, journals } = page.moment.view;
  const begins = fromRFC3339(journals[0]?.firstTime ?? "");
  if (begins && compare(begins, from) < 0) left.push("addresses given back before the time shown are not in it");
  if (left.length) strip.append(el("p", { class: "soft" }, left.join("; ")));
  return strip;
}

// edge writes the round durations at which bins begin.
function edge(ms: number): string {
  for (const [unit, name] of [[86400e3, "d"], [3600e3, "h"], [60e3, "m"], [1e3, "s"]] as const) if (ms >= unit && ms % unit === 0) return ms / unit + name;
  return `${ms}ms`;
}

function longestStrip(page: Page, nothing: boolean): HTMLElement {
  const view = page.moment.view;
  const items = longestOf(view, 10).map((hold) => {
    const l = view.leases.of(hold.lease);
    const link = el("button", { type: "button", class: "link" }, l.address);
    link.addEventListener("click", () => goToLease(page, hold.lease));
    return el("li", {}, el("b", {}, lasted(hold.ms)), " ", link, " ", podText(l) ? quotedPod(l, 50) : quoted(shortID(l.containerID, l.shortened), 60),
      el("span", { class: "soft" }, hold.ended ? ` until ${format(l.end!).slice(0, 19)}Z, ${l.reason}` : ` ${l.lost ? "its end is unknown" : endText(l)}`, `, event ${l.startSeq}`));
  });
  return el("section", { class: "strip", "aria-label": "Longest held" }, el("h3", {}, "Longest held"),
    items.length ? el("ol", { class: "longest" }, ...items) : el("p", { class: "soft" }, nothing ? untold : "no lease in this time"));
}
