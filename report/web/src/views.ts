// Which of the page's networks is meant, what it is called, and in which of them an address is.
import { compareAddresses, parseAddress } from "./address.ts";
import { compare } from "./instant.ts";
import { cut, printable } from "./text.ts";
import { State, type Cell, type Instant, type Range, type Report, type View } from "./types.ts";

// Named says which network is meant. What it leaves out may be any.
export interface Named {
  readonly network?: string | null;
  readonly node?: string | null;
  readonly store?: string | null; // the ID of its newest journal, or the folder that this one is in
}

// matching are the views that are so named.
export function matching(report: Report, { network, node, store }: Named): number[] {
  const is = (wanted: string | null | undefined, ...all: (string | undefined)[]): boolean => wanted == null || all.includes(wanted);
  const fits = (v: View): boolean => is(network, v.network) && is(node, v.node) && is(store, v.journals.at(-1)?.id, v.journals.at(-1)?.dir);
  return report.views.flatMap((v, i) => (fits(v) ? [i] : []));
}

// storeOf tells a view from others of the same network and node; it is "" where there are none.
export function storeOf(report: Report, index: number): string {
  const { network, node, journals } = report.views[index];
  const newest = journals.at(-1);
  if (!newest || matching(report, { network, node }).length === 1) return "";
  return matching(report, { network, node, store: newest.id }).length === 1 ? newest.id : newest.dir;
}

// nameOf is what a view is called, as text that can be shown.
export function nameOf(report: Report, index: number): string {
  const view = report.views[index];
  const name = `${printable(view.network)} on ${printable(view.node) || "an unnamed node"}`;
  const newest = view.journals.at(-1);
  if (!newest || storeOf(report, index) === "") return name;
  return `${name}, journal ${printable(newest.id.slice(0, 8))} in ${cut(printable(newest.dir), 120)}`;
}

// within is an instant of the time that a view shows: its end in place of one that is not.
export function within(view: View, at: Instant): Instant {
  return compare(at, view.from) < 0 || compare(at, view.to) > 0 ? view.to : at;
}

// cellAt is what an address is at an instant.
export function cellAt(view: View, ip: string, at: Instant): Cell {
  const all = view.course(ip);
  return (all.findLast((s) => compare(s.from, at) <= 0) ?? all[0]).cell;
}

// leaseName is how a link names a lease of an address: by the event that gave it, and its journal where another's has the same number.
export function leaseName(view: View, lease: number): string {
  const { address, startSeq, journal } = view.leases.of(lease);
  return leasesNamed(view, address, String(startSeq)).length === 1 ? String(startSeq) : `${view.journals[journal].id}:${startSeq}`;
}

// leasesNamed are the leases of an address that are so named.
export function leasesNamed(view: View, ip: string, name: string): number[] {
  const { start } = view.leases;
  const { seq, journal } = view.events;
  const named = (l: number): boolean => [String(seq[start[l]]), `${view.journals[journal[start[l]]].id}:${seq[start[l]]}`].includes(name);
  const address = view.addresses.find(ip);
  return address < 0 ? [] : [...view.addresses.leases(address)].filter(named);
}

// Ranks of an address in a view.
const elsewhere = 0; // it is none of the network's
const lost = 1; // whether it is one is not known
const inside = 2; // it is
const leased = 3; // and somebody had it in the time shown
const held = 4; // and at the instant

function rank(view: View, ip: string, at: Instant): number {
  const { state } = cellAt(view, ip, within(view, at));
  if (state === State.held) return held;
  if (view.addresses.find(ip) >= 0) return leased;
  return state === State.notOurs ? elsewhere : state === State.unknown ? lost : inside;
}

// homes are those views among some in which an address is most: where it is held at the instant, or was, or belongs.
export function homes(report: Report, ip: string, at: (view: View) => Instant, among: readonly number[]): number[] {
  const ranks = among.map((i) => rank(report.views[i], ip, at(report.views[i])));
  const best = Math.max(...ranks);
  return best === elsewhere ? [] : among.filter((_, i) => ranks[i] === best);
}

// others are the views beside the one that is shown of which an address is one, at some time that they show; and those of which it may
// be one, as some of their ranges are not known.
export function others(report: Report, shown: number, ip: string): { sure: number[]; maybe: number[] } {
  const [sure, maybe]: number[][] = [[], []];
  report.views.forEach((view, i) => {
    if (i === shown) return;
    const states = new Set(view.course(ip).map(({ cell }) => cell.state));
    const unknown = states.delete(State.unknown);
    states.delete(State.notOurs);
    if (states.size > 0 || view.ranges.some((range) => isIn(ip, range))) sure.push(i);
    else if (unknown && (view.ranges.length === 0 || view.phases.some((p) => p.known && !p.whole))) maybe.push(i);
  });
  return { sure, maybe };
}

function isIn(ip: string, { start, end }: Range): boolean {
  const [address, first, last] = [ip, start, end].map(parseAddress);
  return address != null && first != null && last != null && compareAddresses(first, address) <= 0 && compareAddresses(address, last) <= 0;
}

// homeOf is the view that an address is looked at in: the one that is shown if it is an address of that, else where it is one.
export function homeOf(report: Report, shown: number, ip: string, at: Instant): number {
  if (report.views.length === 1 || rank(report.views[shown], ip, at) >= inside) return shown;
  const all = homes(report, ip, () => at, report.views.map((_, i) => i));
  return all.includes(shown) ? shown : (all[0] ?? shown);
}
