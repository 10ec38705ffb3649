// What the page was made from, what is uncertain about it, what it leaves out, and who tells more.
import { copyButton, shell } from "./copy.ts";
import { el } from "./dom.ts";
import { format } from "./instant.ts";
import { counted, quoted, scrolled, whole } from "./text.ts";
import type { Journal, Page, View } from "./types.ts";

export function mountAbout(page: Page, into: HTMLElement): void {
  const body = el("div", {});
  const commands = el("div", { class: "commands" });
  into.append(el("h2", {}, "About this page"), body, el("h3", {}, "Ask leasectl"), commands);
  let due = 0;
  let lines: string[] = [];
  // The lines stay the same elements while only the instant changes, for who is about to copy one.
  const follow = () => {
    due = 0;
    const now = commandsFor(page);
    if (now.length !== lines.length) commands.replaceChildren(...now.map((c, i) => commandLine(page, c.words, () => lines[i])));
    lines = now.map((c) => c.line);
    commands.querySelectorAll("code").forEach((code, i) => code.replaceChildren(quoted(lines[i], 2000)));
  };
  const make = () => body.replaceChildren(...about(page));
  page.listen((now, before) => {
    if (now.view !== before.view) make();
    if (!due) due = setTimeout(follow, 200);
  });
  make();
  follow();
}

function about(page: Page): HTMLElement[] {
  const { report } = page;
  const view = page.moment.view;
  const facts = el("dl", { class: "facts" });
  const fact = (name: string, ...value: (Node | string)[]) => facts.append(el("div", {}, el("dt", {}, name), el("dd", {}, ...value)));
  fact("network", quoted(view.network));
  fact("node", quoted(view.node || "not recorded"));
  fact("time shown", `${format(view.from)} to ${format(view.to)}, both included`);
  fact("asked", ...asked(page));
  fact("made", `${report.made} by leasectl `, quoted(report.version));
  fact("ranges", ...(view.ranges.length ? view.ranges.flatMap((r, i) => [i ? ", " : "", `${r.start} to ${r.end} of ${r.subnet}${r.gateway ? `, gateway ${r.gateway}` : ""}`]) : ["none is recorded"]));
  fact("contents", `${counted(view.leases.count, "lease")}, ${counted(view.addresses.count, "address", "addresses")}, ${counted(view.events.count, "event")}`);
  fact("certainty", view.certainty === "certain" ? "certain" : el("strong", { class: "doubtful" }, view.certainty));
  const doubts = view.doubts.length ? el("ul", { class: "doubts" }, ...view.doubts.map((d) => el("li", {}, whole(d, 400)))) : el("p", { class: "soft" }, "none");
  return [facts, el("h3", {}, view.journals.length > 1 ? "Journals, oldest first" : "Journal"), scrolled("Journals", journals(view)),
    el("h3", {}, "Doubts"), doubts, el("h3", {}, "Left out of this page"), leftOut(view)];
}

function asked(page: Page): (Node | string)[] {
  const { data_dir, network, since, until } = page.report.asked;
  const nodes: (Node | string)[] = ["data folder ", quoted(data_dir, 200), network ? ", network " : ", all networks", network ? quoted(network) : ""];
  nodes.push(since ? `, since ${since}` : ", since ever", until ? `, until ${until}` : ", until it was made");
  return nodes;
}

function journals(view: View): HTMLElement {
  const row = (j: Journal) => el("tr", {}, el("th", { scope: "row" }, j.id || "not known"), el("td", {}, quoted(j.node)), el("td", {}, quoted(j.dir, 200)),
    el("td", { class: "number" }, j.lastSeq ? `${j.firstSeq} to ${j.lastSeq}` : "none"), el("td", {}, j.lastSeq ? `${j.firstTime} to ${j.lastTime}` : ""),
    el("td", {}, j.live ? "in use on its node" : "a copy, or not in use"));
  const heads = ["journal", "node", "folder", "events", "time", "store"].map((h) => el("th", { scope: "col" }, h));
  return el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...view.journals.map(row)));
}

function leftOut(view: View): HTMLElement {
  const items = ["pod UIDs, paths of network namespaces, prefix lengths and gateways of each lease, ranges that single calls brought with them",
    "events before and after the time shown, but those that leases of this time began or ended with"];
  for (let i = 0; i < view.containers.count; i++) {
    if (!view.containers.shortened(i)) continue;
    items.push("all but the first 16 digits of container IDs: no two IDs of this page have them in common, and the search takes whole IDs, too");
    break;
  }
  return el("ul", {}, ...items.map((t) => el("li", {}, t)));
}

// commandsFor are the command lines that tell more about what is chosen.
function commandsFor(page: Page): { words: string; line: string }[] {
  const { selection, report } = page;
  // Of several data folders it is the store's own that is asked, of which the newest journal tells.
  const dir = report.asked.data_dir.includes(", ") ? page.moment.view.journals.at(-1)?.dir : report.asked.data_dir;
  const where = [...(dir ? ["--data-dir", dir] : []), "--network", page.moment.view.network].map(shell).join(" ");
  const at = format(selection.at);
  const commands: { words: string; line: string }[] = [];
  if (selection.ip) {
    commands.push({ words: "who held it, with all evidence", line: `leasectl who ${selection.ip} --at ${at} ${where} -o json` });
    commands.push({ words: "its history", line: `leasectl history --ip ${selection.ip} ${where}` });
  }
  commands.push({ words: "the lease table", line: `leasectl at ${at} ${where}` });
  commands.push({ words: "whether the store is whole", line: `leasectl verify ${where}` });
  return commands;
}

function commandLine(page: Page, words: string, line: () => string): HTMLElement {
  return el("div", { class: "command" }, el("span", { class: "soft" }, words), el("code", {}), copyButton("Copy", line, (said) => page.say(said)));
}
