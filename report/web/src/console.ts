// window.leaselog: the page asked from the browser's console, as leasectl is asked, and driven from there.
//
//   leaselog.at()                            the lease table at the page's instant
//   leaselog.at("2026-11-03T14:05:00Z")      and at another one
//   leaselog.who("10.0.3.17")                what an address was, and who held it
//   leaselog.stats()                         the figures of the strips, as leasectl stats --since has them
//   leaselog.go({at: "...", ip: "..."})      moves the page there
//
// Answers are plain values with the names of leasectl's JSON: copy(leaselog.at()) puts one on the clipboard.
import { binsOf, longestOf, rateOf, reusesOf, useOf } from "./figures.ts";
import { format, parse } from "./instant.ts";
import { State, stateNames, type Instant, type Lease, type Moment, type Page, type Selection } from "./types.ts";

export interface Asked {
  readonly network: string;
  readonly node: string;
  readonly at: string; // RFC 3339 in UTC
}

export interface Held {
  readonly ip: string;
  readonly container_id: string; // its first digits only, if container_id_shortened
  readonly container_id_shortened: boolean;
  readonly ifname: string;
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly start: { readonly seq: number; readonly time: string; readonly effective: string };
  readonly certainty: "certain" | "uncertain"; // of its being held at the instant
}

export interface Table extends Asked {
  readonly certainty: "certain" | "uncertain" | "unknown";
  readonly doubts: readonly string[];
  readonly open: boolean; // leases may be missing, or be there that were not held
  readonly leases: readonly Held[]; // by address
}

export interface Answer extends Asked {
  readonly ip: string;
  readonly state: string;
  readonly certainty: "certain" | "uncertain" | "unknown";
  readonly doubts: readonly string[];
  readonly holders: readonly Held[]; // several if any of them may have held it
}

// Stats are figures of the time that the page shows. What there is not is null.
export interface Stats {
  readonly peak: number;
  readonly peak_at: { readonly seq: number } | null;
  readonly adds: number;
  readonly dels: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly reuse: { count: number; median_ns: number | null; shortest_ns: number | null; ip: string; negative: number; uncertain: number };
  readonly longest_held: { readonly ip: string; readonly start: { readonly seq: number }; readonly for_ns: number } | null;
}

// Place is where the page is, in the words of its link.
export interface Place {
  network: string;
  node: string;
  at: string;
  ip: string;
  query: string;
  colour: Selection["colour"];
}

// Asker is window.leaselog.
export class Asker {
  private readonly page: Page;
  private readonly moments: Moment[] = []; // of instants other than the page's

  constructor(page: Page) {
    this.page = page;
  }

  get place(): Place {
    const { view, at, ip, query, colour } = this.page.selection;
    const { network, node } = this.page.report.views[view];
    return { network, node, at: format(at), ip, query, colour };
  }

  // go changes what is named, and leaves the rest as it is.
  go(to: Partial<Place>): void {
    const { network, node, at, ...rest } = to;
    const change: { -readonly [name in keyof Selection]?: Selection[name] } = rest;
    if (network !== undefined || node !== undefined) change.view = this.find(network, node);
    if (at !== undefined) change.at = this.instant(at);
    this.page.set(change);
  }

  at(time?: string): Table {
    const m = this.moment(time);
    const { addresses } = m.view;
    const leases: Held[] = [];
    for (let a = 0; a < addresses.count; a++) {
      if (m.state(a) === State.held) leases.push(...this.held(m, addresses.text(a)));
    }
    return { ...this.asked(m), certainty: m.certainty, doubts: m.doubts, open: m.open, leases };
  }

  who(address: string, time?: string): Answer {
    const m = this.moment(time);
    const { state, sure, why } = m.cell(address);
    const certainty = state === State.unknown ? "unknown" : sure ? "certain" : "uncertain";
    const holders = state === State.held ? this.held(m, address) : [];
    return { ...this.asked(m), ip: address, state: stateNames[state], certainty, doubts: why, holders };
  }

  stats(): Stats {
    const { view } = this.page.moment;
    const bins = binsOf(view.from, view.to, 1);
    const use = useOf(view, bins);
    const { totals, causes } = rateOf(view, bins);
    const { count, median, shortest, shortestLease, negative, uncertain } = reusesOf(view);
    const ns = (ms: number) => (Number.isNaN(ms) ? null : Math.round(ms * 1e6));
    const ip = count > 0 ? view.leases.of(shortestLease).address : "";
    const [longest] = longestOf(view, 1).map(({ lease, ms }) => ({ ...view.leases.of(lease), ms }));
    return {
      peak: use.peak, peak_at: use.peakEvent < 0 ? null : { seq: view.events.seq[use.peakEvent] }, adds: totals.adds, dels: totals.dels,
      refused: Object.fromEntries(causes.map((c) => [c.cause, c.count])),
      reuse: { count, median_ns: ns(median), shortest_ns: ns(shortest), ip, negative, uncertain },
      longest_held: longest ? { ip: longest.address, start: { seq: longest.startSeq }, for_ns: Math.round(longest.ms * 1e6) } : null,
    };
  }

  private held(m: Moment, address: string): Held[] {
    const { leases, sure } = m.cell(address);
    return leases.map((index) => told(m.view.leases.of(index), sure));
  }

  private asked(m: Moment): Asked {
    return { network: m.view.network, node: m.view.node, at: format(m.instant) };
  }

  private moment(time?: string): Moment {
    if (time === undefined) return this.page.moment;
    const { view } = this.page.selection;
    const m = (this.moments[view] ??= this.page.report.views[view].at());
    m.move(this.instant(time));
    return m;
  }

  private instant(text: string): Instant {
    return parse(text, { now: parse(this.page.report.made, { now: { ms: 0, ns: 0 }, zone: "UTC" }), zone: "UTC" });
  }

  private find(network?: string, node?: string): number {
    const { views } = this.page.report;
    const found = views.findIndex((v) => v.network === (network ?? v.network) && v.node === (node ?? v.node));
    if (found < 0) throw new Error(`this page has no network ${JSON.stringify(network ?? "")} of node ${JSON.stringify(node ?? "")}`);
    return found;
  }
}

function told(lease: Lease, sure: boolean): Held {
  return {
    ip: lease.address,
    container_id: lease.containerID,
    container_id_shortened: lease.shortened,
    ifname: lease.ifname,
    pod: { namespace: lease.podNamespace, name: lease.podName },
    start: { seq: lease.startSeq, time: format(lease.startRecorded), effective: format(lease.start) },
    certainty: sure ? "certain" : "uncertain",
  };
}

declare global {
  interface Window {
    leaselog?: Asker;
  }
}

// expose is called when the page is drawn: who drives it waits for that.
export function expose(page: Page): void {
  window.leaselog = new Asker(page);
}
