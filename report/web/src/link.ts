// The address line keeps what is shown: #at=2026-11-03T14:05:00.000000000Z&ip=10.0.0.5&network=pods&node=n1&q=shop&by=age&zone=Europe/Berlin.
// What is wrong in it is said, and left out.
import { compare, format, parse } from "./instant.ts";
import { textOf, valueOf } from "./layout.ts";
import { printable } from "./text.ts";
import type { Instant, Page, Report, Selection, View } from "./types.ts";
import { zoneOf } from "./zone.ts";

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

// read understands the address line. What it doesn't say is as at the start.
export function read(report: Report, hash: string): { selection: Selection; wrong: string[] } {
  const asked = new URLSearchParams(hash.replace(/^#/, ""));
  const wrong: string[] = [];
  const refuse = (name: string, why: string): void => void wrong.push(`${name}=${printable(asked.get(name) ?? "")}: ${why}`);
  for (const name of asked.keys()) {
    if (!["at", "ip", "network", "node", "q", "by", "zone"].includes(name)) refuse(name, "not known");
    else if (asked.getAll(name).length > 1) refuse(name, "given more than once");
  }
  const [network, node] = [asked.get("network"), asked.get("node")];
  let index = report.views.findIndex((v) => (network === null || v.network === network) && (node === null || v.node === node));
  if (index < 0) {
    refuse(network !== null ? "network" : "node", "not in this page");
    index = 0;
  }
  const view = report.views[index];
  let selection: Selection = { view: index, at: view.to, ip: "", query: asked.get("q") ?? "", zone: "UTC", colour: "state" };
  const zone = asked.get("zone");
  if (zone !== null) {
    const why = zoneProblem(zone);
    if (why) refuse("zone", why);
    else selection = { ...selection, zone };
  }
  const by = asked.get("by");
  if (by === "state" || by === "age" || by === "churn") selection = { ...selection, colour: by };
  else if (by !== null) refuse("by", "state, age or churn");
  const ip = asked.get("ip");
  const parsed = ip ? valueOf(ip) : null;
  if (parsed) selection = { ...selection, ip: textOf(parsed.value, parsed.is4) };
  else if (ip) refuse("ip", "not an address");
  const at = asked.get("at");
  if (at !== null) {
    try {
      const instant = parse(at, { now: parse(report.made, { now: view.to, zone: "UTC" }), zone: selection.zone });
      const why = beyond(view, instant);
      if (why) refuse("at", why);
      else selection = { ...selection, at: instant };
    } catch (err) {
      refuse("at", err instanceof Error ? err.message : String(err));
    }
  }
  return { selection, wrong };
}

// write is the address line of a selection. The network and node are named where the page has several.
export function write(report: Report, now: Selection): string {
  const view = report.views[now.view];
  const said: [string, string][] = [["at", format(now.at)]];
  if (now.ip) said.push(["ip", now.ip]);
  if (report.views.some((v) => v.network !== view.network)) said.push(["network", view.network]);
  if (report.views.some((v) => v.node !== view.node)) said.push(["node", view.node]);
  if (now.query) said.push(["q", now.query]);
  if (now.colour !== "state") said.push(["by", now.colour]);
  if (now.zone !== "UTC") said.push(["zone", now.zone]);
  return "#" + said.map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%3A", ":").replaceAll("%2F", "/")}`).join("&");
}

// mountLink keeps the address line and the page the same. Choices can be gone back to; instants that are slid over are not.
export function mountLink(page: Page, tell: (wrong: string[]) => void): void {
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
    if (now.ip !== before.ip || now.view !== before.view) {
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
  };
  addEventListener("hashchange", follow);
  addEventListener("popstate", follow);
}
