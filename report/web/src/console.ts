// window.leaselog: the page asked from the browser's console, as leasectl is asked, and driven from there.
//
//   leaselog.at()                            the lease table at the page's instant
//   leaselog.at("2026-11-03T14:05:00Z")      and at another one
//   leaselog.who("10.0.3.17")                what an address was, and who held it
//   leaselog.stats()                         the figures of the strips, as leasectl stats --since has them
//   leaselog.go({at: "...", ip: "..."})      moves the page there
//
// Of an address that is none of the network that is shown, who and go ask the one of the page that it is in.
// Answers are plain values with the names of leasectl's JSON: copy(leaselog.at()) puts one on the clipboard.
import { binsOf, longestOf, rateOf, reusesOf, useOf } from "./figures.ts";
import { format, parse } from "./instant.ts";
import { beyond } from "./link.ts";
import { cidrOf, textOf, valueOf } from "./layout.ts";
import { type Certainty, State, stateNames, type Instant, type Lease, type Moment, type Page, type Selection, type View } from "./types.ts";
import { homeOf, leaseName, leasesNamed, matching, storeOf, within } from "./views.ts";
import { focusOf } from "./zoom.ts";

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
  readonly doubts: readonly string[];
}

export interface Table extends Asked {
  readonly certainty: Certainty;
  readonly doubts: readonly string[];
  readonly open: boolean; // leases may be missing, or be there that were not held
  readonly leases: readonly Held[]; // by address
}

export interface Answer extends Asked {
  readonly ip: string;
  readonly state: string;
  readonly certainty: Certainty;
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
  store: string; // where network and node are not enough
  at: string;
  ip: string;
  lease: string; // of that address: the number of the event that gave it
  net: string;
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
    const { view: index, at, ip, lease, net, query, colour } = this.page.selection;
    const view = this.page.report.views[index];
    const { network, node } = view;
    return { network, node, store: storeOf(this.page.report, index), at: format(at), ip, lease: lease < 0 ? "" : leaseName(view, lease), net, query, colour };
  }

  // go changes what is named, and leaves the rest as it is.
  go(to: Partial<Place>): void {
    const { network, node, store, at, ip, lease, net, ...rest } = to;
    const { report, selection } = this.page;
    const change: { -readonly [name in keyof Selection]?: Selection[name] } = rest;
    const instant = at === undefined ? selection.at : this.instant(at);
    if (ip !== undefined) change.ip = ip === "" ? "" : addressOf(ip);
    let index = selection.view;
    if (network !== undefined || node !== undefined || store !== undefined) index = this.find(network, node, store);
    else if (change.ip) index = homeOf(report, index, change.ip, instant);
    const view = report.views[index];
    const why = at === undefined ? "" : beyond(view, instant);
    if (why) throw new Error(why);
    if (lease !== undefined) change.lease = lease === "" ? -1 : leaseOf(view, ip ?? selection.ip, lease);
    if (net !== undefined) change.net = net === "" ? "" : cidrOfText(net);
    this.page.set({ ...change, view: index, at: within(view, instant) });
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
    const { report, selection } = this.page;
    const at = time === undefined ? selection.at : this.instant(time);
    const m = this.moment(time, homeOf(report, selection.view, addressOf(address), at));
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
    const doubts = m.doubtsOf(address);
    return leases.map((index, i) => told(m.view.leases.of(index), sure, doubts[i]));
  }

  private asked(m: Moment): Asked {
    return { network: m.view.network, node: m.view.node, at: format(m.instant) };
  }

  private moment(time?: string, view = this.page.selection.view): Moment {
    if (time === undefined && view === this.page.selection.view) return this.page.moment;
    const m = (this.moments[view] ??= this.page.report.views[view].at());
    m.move(time === undefined ? this.page.selection.at : this.instant(time));
    return m;
  }

  private instant(text: string): Instant {
    return parse(text, { now: parse(this.page.report.made, { now: { ms: 0, ns: 0 }, zone: "UTC" }), zone: "UTC" });
  }

  private find(network?: string, node?: string, store?: string): number {
    const found = matching(this.page.report, { network, node, store: store || null });
    if (found.length > 0) return found.includes(this.page.selection.view) ? this.page.selection.view : found[0];
    const of = store ? ` in store ${JSON.stringify(store)}` : "";
    throw new Error(`this page has no network ${JSON.stringify(network ?? "")} of node ${JSON.stringify(node ?? "")}${of}`);
  }
}

// addressOf is an address as the page writes it.
function addressOf(text: string): string {
  const a = valueOf(text);
  if (!a) throw new Error(`${JSON.stringify(text)} is no address`);
  return textOf(a.value, a.is4);
}

function leaseOf(view: View, ip: string, name: string): number {
  const [lease, other] = leasesNamed(view, ip === "" ? "" : addressOf(ip), name);
  if (lease === undefined || other !== undefined) throw new Error(`${JSON.stringify(name)} names no lease of ${JSON.stringify(ip)}`);
  return lease;
}

function cidrOfText(text: string): string {
  const focus = focusOf(text);
  if (!focus) throw new Error(`${JSON.stringify(text)} is no CIDR of 16 addresses or more`);
  return cidrOf(focus);
}

function told(lease: Lease, sure: boolean, doubts: readonly string[]): Held {
  return {
    ip: lease.address,
    container_id: lease.containerID,
    container_id_shortened: lease.shortened,
    ifname: lease.ifname,
    pod: { namespace: lease.podNamespace, name: lease.podName },
    start: { seq: lease.startSeq, time: format(lease.startRecorded), effective: format(lease.start) },
    certainty: sure ? "certain" : "uncertain",
    doubts,
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
