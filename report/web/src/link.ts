// The address line keeps what is shown: #at=2026-11-03T14:05:00.000000000Z&ip=10.0.0.5&lease=42&net=10.0.0.0/24&network=pods&node=n1&q=shop&by=age&zone=Europe/Berlin.
// What is wrong in it is said, and left out.
import { compare, format, parse } from "./instant.ts";
import { cidrOf, textOf, valueOf } from "./layout.ts";
import { count, cut, printable } from "./text.ts";
import type { Instant, Page, Report, Selection, View } from "./types.ts";
import { homes, leaseName, leasesNamed, matching, nameOf, storeOf, type Named } from "./views.ts";
import { zoneOf } from "./zone.ts";
import { focusOf, isEmpty } from "./zoom.ts";

const quiet = 250; // milliseconds without a change before the address line is written: browsers slow down pages that do it at each step

// beyond says why an instant can't be shown; "" if it can.
export function beyond(view: View, at: Instant): string {
  if (compare(at, view.from) < 0) return `${format(at)} is before the time that this page shows: it begins at ${format(view.from)}`;
  if (compare(at, view.to) > 0) return `${format(at)} is after the time that this page shows: it ends at ${format(view.to)}`;
  return "";
}

// zoneProblem says why times can't be shown in a zone; "" if they can.
export function zoneProblem(name: string): string {
  try {
    zoneOf(name);
    new Intl.DateTimeFormat("en", { timeZone: name }); // which offsets like +02:00 are a zone for depends on the browser
    return "";
  } catch (err) {
    return err instanceof Error ? err.message : String(err);
  }
}

const names = ["at", "ip", "lease", "net", "network", "node", "store", "q", "by", "zone"];

// A link is anybody's: it is cut before it is read, and of what is wrong in it the first few are said, cut likewise.
const longestLink = 1 << 16; // characters
const longestValue = 4096;
const mostWrong = 8;

class Complaints {
  private readonly lines: string[] = [];
  private more = 0;

  add(name: string, value: string, why: string): void {
    if (this.lines.length === mostWrong) this.more++;
    else this.lines.push(`${printable(cut(name, 30))}=${printable(cut(value, 60))}: ${why}`);
  }

  all(): string[] {
    return this.more ? [...this.lines, `${count(this.more)} more of it is wrong`] : this.lines;
  }
}

// valuesOf are the parts of a link by their names, each once.
function valuesOf(hash: string, wrong: Complaints): Map<string, string> {
  const asked = new Map<string, string>();
  const said = new Set<string>(); // names that have been complained of
  const once = (name: string, value: string, why: string): void => {
    if (!said.has(name)) wrong.add(name, value, why);
    said.add(name);
  };
  if (hash.length > longestLink) wrong.add("link", hash, `longer than ${count(longestLink)} characters: what is beyond them is left out`);
  for (const [name, value] of new URLSearchParams(hash.slice(0, longestLink).replace(/^#/, ""))) {
    if (!names.includes(name)) once(name, value, "not known");
    else if (value.length > longestValue) once(name, value, `longer than ${count(longestValue)} characters`);
    else if (!asked.has(name)) asked.set(name, value);
    else once(name, asked.get(name)!, "given more than once");
  }
  return asked;
}

// viewOf is the view that is named; where several are, the one that the address is in.
function viewOf(report: Report, asked: Map<string, string>, ip: string, at: Instant | null, wrong: Complaints): number {
  let named: Named = {};
  let all = matching(report, named);
  for (const name of ["network", "node", "store"] as const) {
    const value = asked.get(name);
    if (value === undefined) continue;
    const fewer = matching(report, { ...named, [name]: value });
    if (fewer.length === 0) wrong.add(name, value, "not in this page");
    else [named, all] = [{ ...named, [name]: value }, fewer];
  }
  if (all.length === 1) return all[0];
  const found = ip ? homes(report, ip, (view) => at ?? view.to, all) : [];
  const [first, second] = found;
  if (second !== undefined) {
    wrong.add("ip", ip, `in ${nameOf(report, first)}, and in ${nameOf(report, second)}${found.length > 2 ? " and others" : ""}: the first is shown`);
  } else if (first === undefined && named.network !== undefined && storeOf(report, all[0]) !== "") {
    wrong.add("network", named.network!, `of ${count(all.length)} stores, ${nameOf(report, all[0])} is shown: store= says which`);
  }
  return first ?? all[0];
}

// noLease says why a lease is not found among those of an address.
function noLease(ip: string, found: number): string {
  if (ip === "") return "ip= has to say of which address";
  return found > 1 ? `${count(found)} journals have given ${ip} by an event of that number: JOURNAL:NUMBER says which` : `not the number of an event that gave ${ip}`;
}

// read understands the address line. What it doesn't say is as at the start.
export function read(report: Report, hash: string): { selection: Selection; wrong: string[] } {
  const wrong = new Complaints();
  const asked = valuesOf(hash, wrong);
  const refuse = (name: string, why: string): void => wrong.add(name, asked.get(name) ?? "", why);
  let zone = asked.get("zone") ?? "UTC";
  const noZone = zoneProblem(zone);
  if (noZone) {
    refuse("zone", noZone);
    zone = "UTC";
  }
  const by = asked.get("by") ?? "state";
  const colour = by === "state" || by === "age" || by === "churn" ? by : null;
  if (colour === null) refuse("by", "state, age or churn");
  const parsed = valueOf(asked.get("ip") ?? "");
  const ip = parsed ? textOf(parsed.value, parsed.is4) : "";
  if (asked.get("ip") && !parsed) refuse("ip", "not an address");
  let at: Instant | null = null;
  if (asked.has("at")) {
    try {
      at = parse(asked.get("at")!, { now: parse(report.made, { now: { ms: 0, ns: 0 }, zone: "UTC" }), zone });
    } catch (err) {
      refuse("at", err instanceof Error ? err.message : String(err));
    }
  }
  const index = viewOf(report, asked, ip, at, wrong);
  const view = report.views[index];
  const why = at ? beyond(view, at) : "";
  if (why) refuse("at", why);
  const leases = leasesNamed(view, ip, asked.get("lease") ?? "");
  if (asked.get("lease") && leases.length !== 1) refuse("lease", noLease(ip, leases.length));
  const focus = focusOf(asked.get("net") ?? "");
  const drawn = focus !== null && !isEmpty(view, focus);
  if (asked.get("net") && !drawn) refuse("net", focus ? "nothing is there to be drawn" : "not a CIDR of 16 addresses or more");
  const selection: Selection = {
    view: index, at: at === null || why ? view.to : at, ip, lease: leases.length === 1 ? leases[0] : -1, net: drawn ? cidrOf(focus) : "", query: asked.get("q") ?? "", zone, colour: colour ?? "state",
  };
  return { selection, wrong: wrong.all() };
}

// write is the address line of a selection. The network, the node and the store are named where the page has several.
export function write(report: Report, now: Selection): string {
  const view = report.views[now.view];
  const said: [string, string][] = [["at", format(now.at)]];
  if (now.ip) said.push(["ip", now.ip]);
  if (now.lease >= 0) said.push(["lease", leaseName(view, now.lease)]);
  if (now.net) said.push(["net", now.net]);
  if (report.views.some((v) => v.network !== view.network)) said.push(["network", view.network]);
  if (report.views.some((v) => v.node !== view.node)) said.push(["node", view.node]);
  const store = storeOf(report, now.view);
  if (store) said.push(["store", store]);
  if (now.query) said.push(["q", now.query]);
  if (now.colour !== "state") said.push(["by", now.colour]);
  if (now.zone !== "UTC") said.push(["zone", now.zone]);
  return "#" + said.map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%3A", ":").replaceAll("%2F", "/")}`).join("&");
}

// mountLink keeps the address line and the page the same. Choices can be gone back to; instants that are slid over are not.
// reveal is told of each link that is followed.
export function mountLink(page: Page, tell: (wrong: string[]) => void, reveal: () => void): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let choice = false;
  let restoring = false;
  const put = (): void => {
    timer = undefined;
    const link = write(page.report, page.selection);
    if (link === location.hash) return;
    if (choice) history.pushState(null, "", link);
    else history.replaceState(null, "", link);
    choice = false;
  };
  page.listen((now, before) => {
    if (restoring) return;
    if (now.ip !== before.ip || now.lease !== before.lease || now.view !== before.view || now.net !== before.net) {
      // The entry that is left keeps where the slider was.
      if (timer) history.replaceState(null, "", write(page.report, before));
      clearTimeout(timer);
      choice = true;
      put();
      return;
    }
    clearTimeout(timer);
    timer = setTimeout(put, quiet);
  });
  const follow = (): void => {
    if (location.hash === write(page.report, page.selection)) return;
    clearTimeout(timer);
    timer = undefined;
    const { selection, wrong } = read(page.report, location.hash);
    restoring = true;
    page.set(selection);
    restoring = false;
    tell(wrong);
    reveal();
  };
  addEventListener("hashchange", follow);
  addEventListener("popstate", follow);
}
