// What is chosen, in full: what an address is at the instant, and its intervals as a drawing and as a list. Without an address it is the
// container or the pod that was searched for.
import { copyButton, endText, intervalsJSON, intervalsText } from "./copy.ts";
import type { Copied } from "./copy.ts";
import { button, el } from "./dom.ts";
import { compare, format } from "./instant.ts";
import { write } from "./link.ts";
import { between, counted, inZone, lasted, podText, printable, quoted, quotedPod, shortID, whole } from "./text.ts";
import { drawTimeline, keyOf } from "./timeline.ts";
import type { Row, Span, Timeline } from "./timeline.ts";
import { State, stateNames } from "./types.ts";
import type { Instant, Lease, Moment, Page } from "./types.ts";
import { nameOf, others, within } from "./views.ts";

const listed = 50; // intervals at once
const drawn = 12; // addresses in one drawing
const named = 8; // other networks that have an address
const holdersShown = 4; // intervals above it

// Subject is what the detail is about.
interface Subject {
  readonly ip: string; // "" if it is a container or pod
  readonly container: string;
  readonly pod: string;
  readonly leases: readonly number[]; // by start
}

export class Detail {
  private readonly page: Page;
  private readonly body = el("div", {});
  private subject: Subject | null = null;
  private found: readonly number[] = [];
  private span: Span | null = null; // of the drawing; null: all of the time shown
  private offset = 0; // of the list
  private timeline: Timeline | null = null;
  private readonly state = el("p", { class: "state-words" });
  private readonly holders = el("div", { class: "holders" }); // the intervals that hold at the instant, before all others
  private held = ""; // what is in it
  private list = el("ol", { class: "intervals" });
  private due = 0;
  private said = ""; // by state
  private revealing = false;
  private chosen = false; // another address, which is to be said
  private stale = true; // all is to be drawn anew, not only what the instant changes

  constructor(page: Page, into: HTMLElement) {
    this.page = page;
    into.append(this.body);
    page.listen((now, before) => {
      if (now.ip !== before.ip) this.chosen = true;
      if (now.ip !== before.ip || now.view !== before.view) {
        this.span = null;
        this.stale = true;
      }
      if (now.zone !== before.zone || now.lease !== before.lease) this.stale = true;
      this.later();
    });
    let width = 0;
    new ResizeObserver(() => {
      if (this.body.clientWidth === width) return;
      width = this.body.clientWidth;
      this.draw();
    }).observe(this.body);
    this.later();
  }

  // show tells of the leases that were searched for. They are shown where no address is chosen and they are of one container or pod.
  show(found: readonly number[]): void {
    this.found = found;
    if (this.page.selection.ip !== "") return;
    this.stale = true;
    this.later();
  }

  // reveal brings the chosen lease into sight.
  reveal(): void {
    this.revealing = this.page.selection.lease >= 0;
    this.later();
  }

  private later(): void {
    if (!this.due) this.due = requestAnimationFrame(() => this.update());
  }

  private update(): void {
    this.due = 0;
    if (this.stale) this.rebuild();
    else this.follow();
    const marked = this.revealing && this.list.querySelector<HTMLElement>(".marked");
    this.revealing = false;
    if (!marked) return;
    marked.tabIndex = -1;
    marked.focus({ preventScroll: true });
    marked.scrollIntoView({ block: "center" });
  }

  private rebuild(): void {
    this.stale = false;
    this.timeline = null;
    const subject = (this.subject = this.find());
    this.body.className = subject ? "" : "off-paper";
    if (!subject) {
      this.body.replaceChildren(el("h2", {}, "Nothing chosen"),
        el("p", { class: "soft" }, "Choose an address in the grid, or search for one, for a container or for a pod: its intervals are shown here."));
      return;
    }
    const { at, lease } = this.page.selection;
    const view = this.page.moment.view;
    const current = lease >= 0 ? subject.leases.indexOf(lease) : subject.leases.findLastIndex((l) => compare(view.leases.of(l).start, at) <= 0);
    this.offset = Math.max(Math.floor(Math.max(current, 0) / listed) * listed, 0);
    const name = subject.ip || subject.pod || subject.container;
    const heading = el("h2", { tabindex: -1 }, subject.ip ? "" : subject.pod ? "pod " : "container ", quoted(name, 120));
    const drawing = el("div", { class: "drawing" });
    this.list = el("ol", { class: "intervals", "aria-label": "Intervals, oldest first" });
    const elsewhere = subject.ip ? this.elsewhere(subject.ip) : null;
    const parts: (Node | string)[] = [heading, this.state, ...(elsewhere ? [elsewhere] : []), this.holders, this.zoomBar(), drawing];
    parts.push(el("h3", {}, counted(subject.leases.length, "interval")), this.copyBar(subject), el("div", { class: "bar pager" }), this.list);
    const focused = this.body.contains(document.activeElement);
    this.body.replaceChildren(...parts);
    this.said = "";
    this.held = "";
    this.draw();
    this.fill();
    this.follow();
    if (focused) heading.focus();
    if (this.chosen && subject.ip) this.page.say([subject.ip, this.said, elsewhere?.textContent ?? ""].filter((text) => text !== "").join(", "));
    this.chosen = false;
  }

  // elsewhere says which other networks of the page have an address, too, or may have it, and leads there; null if none does.
  private elsewhere(ip: string): HTMLElement | null {
    const { page } = this;
    const { report, selection } = page;
    const { sure, maybe } = others(report, selection.view, ip);
    if (sure.length + maybe.length === 0) return null;
    const lead = (view: number): HTMLElement => {
      const made = el("button", { type: "button", class: "link" }, quoted(nameOf(report, view), 160));
      made.addEventListener("click", () => page.set({ view, ip, at: within(report.views[view], page.selection.at) }));
      return made;
    };
    const words = (text: string, of: readonly number[]): (Node | string)[] => {
      const more = of.length > named ? [` and ${counted(of.length - named, "other")}`] : [];
      return of.length ? [text, ...of.slice(0, named).flatMap((view, i) => [i ? "; " : "", lead(view)]), ...more] : [];
    };
    const between = sure.length && maybe.length ? [". "] : [];
    return el("p", { class: "elsewhere" }, ...words("Also an address of: ", sure), ...between, ...words("Perhaps also of, which is not known: ", maybe));
  }

  private find(): Subject | null {
    const view = this.page.moment.view;
    const ip = this.page.selection.ip;
    if (ip) {
      const index = view.addresses.find(ip);
      return { ip, container: "", pod: "", leases: index < 0 ? [] : Array.from(view.addresses.leases(index)) };
    }
    if (this.found.length === 0) return null;
    const leases = [...this.found].sort((a, b) => a - b);
    const all = leases.map((l) => view.leases.of(l));
    const one = (of: (l: Lease) => string) => (all.every((l) => of(l) === of(all[0])) ? of(all[0]) : "");
    const container = one((l) => l.containerID);
    const pod = one(podText);
    return pod || container ? { ip: "", container, pod, leases } : null;
  }

  private zoomBar(): HTMLElement {
    const zoom = (factor: number) => {
      const { from, to } = this.spanNow();
      const at = this.page.selection.at.ms;
      const centre = at >= from && at <= to ? at : (from + to) / 2;
      const half = Math.max(((to - from) / 2) * factor, 0.5);
      const all = this.spanOfView();
      this.span = { from: Math.max(centre - half, all.from), to: Math.min(centre + half, all.to) };
      if (this.span.from <= all.from && this.span.to >= all.to) this.span = null;
      this.draw();
    };
    return el("div", { class: "bar controls", role: "group", "aria-label": "Time drawn" },
      button("closer", "closer: draw a quarter of the time, around the instant", () => zoom(0.25)),
      button("wider", "wider: draw four times as much time", () => zoom(4)),
      button("all", "all: draw all of the time shown", () => {
        this.span = null;
        this.draw();
      }));
  }

  private copyBar(subject: Subject): HTMLElement {
    const copied = (): Copied => {
      const { report, moment, selection } = this.page;
      const of = subject.ip ? { ip: subject.ip } : subject.pod ? { pod: subject.pod } : { container: subject.container };
      return { report, view: moment.view, of, at: selection.at, state: subject.ip ? stateText(moment, subject.ip) : "",
        leases: subject.leases.map((l) => moment.view.leases.of(l)) };
    };
    const say = (words: string) => this.page.say(words);
    return el("div", { class: "bar controls" },
      copyButton("Copy as text", () => intervalsText(copied()), say), copyButton("Copy as JSON", () => intervalsJSON(copied()), say));
  }

  private spanOfView(): Span {
    const { from, to } = this.page.moment.view;
    return { from: from.ms, to: Math.max(to.ms + to.ns / 1e6, from.ms + 1) };
  }

  private spanNow(): Span {
    return this.span ?? this.spanOfView();
  }

  private rows(subject: Subject): { rows: Row[]; more: number } {
    const view = this.page.moment.view;
    if (subject.ip) return { rows: [{ address: subject.ip, course: view.course(subject.ip), of: null }], more: 0 };
    const of = new Set(subject.leases);
    const addresses = [...new Set(subject.leases.map((l) => view.leases.of(l).address))];
    const rows = addresses.slice(0, drawn).map((address) => ({ address, course: view.course(address), of }));
    return { rows, more: addresses.length - rows.length };
  }

  private draw(): void {
    const place = this.body.querySelector(".drawing");
    if (!place || !this.subject) return;
    const { rows, more } = this.rows(this.subject);
    const span = this.spanNow();
    const words = `${rows.map((r) => r.address).join(", ")} from ${format({ ms: Math.floor(span.from), ns: 0 })} to ${format({ ms: Math.ceil(span.to), ns: 0 })}: `
      + `${counted(this.subject.leases.length, "interval")}, listed below`;
    const timeline = (this.timeline = drawTimeline(rows, span, Math.max(place.clientWidth, 200), this.page.selection.zone, words));
    timeline.element.addEventListener("click", (event) => {
      const ms = timeline.time((event as MouseEvent).clientX);
      this.page.set({ at: clamp({ ms: Math.floor(ms), ns: Math.floor((ms % 1) * 1e6) }, this.page.moment.view) });
    });
    place.replaceChildren(timeline.element, keyOf(rows));
    if (more > 0) place.append(el("p", { class: "soft" }, `${counted(more, "more address", "more addresses")} in the list`));
    timeline.mark(this.page.selection.at);
  }

  // fill makes the list, as far as it is shown at once.
  private fill(): void {
    const subject = this.subject!;
    const last = Math.min(this.offset + listed, subject.leases.length);
    this.list.start = this.offset + 1;
    this.list.replaceChildren(...subject.leases.slice(this.offset, last).map((l) => el("li", { "data-lease": l }, ...this.interval(l))));
    const pager = this.body.querySelector(".pager")!;
    pager.replaceChildren();
    if (subject.leases.length <= listed) return;
    const turn = (by: number) => {
      this.offset += by;
      this.fill();
      this.follow();
    };
    const earlier = button("earlier", "Earlier intervals", () => turn(-listed));
    const later = button("later", "Later intervals", () => turn(listed));
    earlier.disabled = this.offset === 0;
    later.disabled = last === subject.leases.length;
    pager.append(earlier, el("span", {}, `${this.offset + 1} to ${last} of ${subject.leases.length}`), later);
  }

  // follow shows what the instant changes.
  private follow(): void {
    const { moment, selection } = this.page;
    this.timeline?.mark(selection.at);
    const subject = this.subject;
    if (!subject) return;
    const holders = new Set(subject.ip ? moment.cell(subject.ip).leases : subject.leases.filter((l) => holds(moment, l)));
    if (subject.ip) {
      const text = stateText(moment, subject.ip);
      if (text !== this.said) this.state.replaceChildren(...stateNodes(moment, subject.ip)); // else a text that was opened would be cut again
      this.said = text;
    }
    else {
      const held = [...holders].map((l) => moment.view.leases.of(l).address).join(", ");
      this.state.textContent = held ? `holds ${held} at the instant` : "holds no address at the instant";
    }
    const first = [...holders].slice(0, holdersShown);
    if (first.join() !== this.held) this.holders.replaceChildren(...first.map((l) => el("div", {}, ...this.interval(l))));
    this.held = first.join();
    for (const item of this.list.children) {
      const lease = Number((item as HTMLElement).dataset.lease);
      item.classList.toggle("marked", lease === selection.lease);
      if (holders.has(lease)) item.setAttribute("aria-current", "true");
      else item.removeAttribute("aria-current");
    }
  }

  private interval(lease: number): HTMLElement[] {
    const { page } = this;
    const l = page.moment.view.leases.of(lease);
    const pod = podText(l);
    const ask = (query: string, what: string, text: HTMLElement) => {
      const made = el("button", { type: "button", class: "link", title: `All leases of this ${what}` }, text);
      made.addEventListener("click", () => page.set({ query, ip: "" }));
      return made;
    };
    const head = el("div", { class: "who" }, el("strong", { class: "mark" }, "chosen lease"), " ");
    if (!this.subject!.ip) head.append(el("b", {}, l.address), " ");
    if (pod) head.append("pod ", ask(pod, "pod", quotedPod(l, 120)), " ");
    head.append(el("span", { class: "soft" }, "container ", ask(l.containerID, "container", quoted(shortID(l.containerID, l.shortened), 70)), " ", quoted(l.ifname, 40)));
    const facts = el("dl", {});
    const fact = (name: string, ...value: (Node | string)[]) => facts.append(el("div", {}, el("dt", {}, name), el("dd", {}, ...value)));
    const to = l.end ?? page.moment.view.to;
    fact("from", this.time(l.start), ` event ${l.startSeq}`, l.origin === "import" ? ", imported" : "");
    if (l.end) fact("to", this.time(l.end), ` event ${l.endSeq}`, ", ", quoted(l.reason), ` after ${lasted(between(l.start, to))}`);
    else fact("to", endText(l));
    if (l.text) fact("text", whole(l.text));
    if (compare(l.start, l.startRecorded) !== 0) fact("recorded", `start as ${format(l.startRecorded)}`);
    if (l.end && l.endRecorded && compare(l.end, l.endRecorded) !== 0) fact("recorded", `end as ${format(l.endRecorded)}`);
    if (l.windowStart && !(l.end && compare(l.windowStart, l.end) >= 0)) fact("uncertain", "use is uncertain from ", this.time(l.windowStart));
    fact("certainty", l.certainty === "certain" ? "certain" : el("strong", { class: "doubtful" }, l.certainty));
    for (const doubt of l.doubts) fact("doubt", whole(doubt));
    const journal = page.moment.view.journals[l.journal];
    fact("evidence", el("span", { class: "soft" }, `events ${l.startSeq}-${l.endSeq || ""}, read up to ${l.lastSeq}, `, quoted(l.file), `, journal ${journal.id} of node `, quoted(journal.node)));
    if (l.shortened) fact("container", quoted(l.containerID), " and more digits, which the page does not have");
    else if (l.containerID !== shortID(l.containerID)) fact("container", whole(l.containerID));
    const { view, zone } = page.selection;
    const at = clamp(l.start, page.moment.view);
    const link = write(page.report, { view, at, ip: l.address, lease, net: "", query: "", zone, colour: "state" });
    return [head, facts, el("a", { class: "permalink", href: link }, "link to this lease")];
  }

  // time is one that goes to that instant.
  private time(at: Instant): HTMLElement {
    const zone = this.page.selection.zone;
    const made = el("button", { type: "button", class: "link time", title: "Show this instant" }, format(at));
    made.addEventListener("click", () => this.page.set({ at: clamp(at, this.page.moment.view) }));
    return zone === "UTC" ? made : el("span", {}, made, ` ${inZone(at, zone)}`);
  }
}

// holds says whether a lease is held at the moment's instant, or may be.
function holds(moment: Moment, lease: number): boolean {
  const address = moment.view.leases.address[lease];
  const holder = moment.lease(address);
  return holder === lease || (holder >= 0 && !moment.sure(address) && moment.cell(moment.view.addresses.text(address)).leases.includes(lease));
}

function clamp(at: Instant, within: { readonly from: Instant; readonly to: Instant }): Instant {
  if (compare(at, within.from) < 0) return within.from;
  return compare(at, within.to) > 0 ? within.to : at;
}

// stateNodes says what an address is at the moment's instant.
function stateNodes(moment: Moment, address: string): (Node | string)[] {
  const cell = moment.cell(address);
  const nodes: (Node | string)[] = [el("strong", { class: `is-${stateNames[cell.state].replace(" ", "-")}${cell.sure ? "" : " is-unsure"}` }, stateNames[cell.state])];
  cell.leases.forEach((index, i) => {
    const l = moment.view.leases.of(index);
    nodes.push(i > 0 ? ", or by " : " by ");
    const pod = podText(l);
    nodes.push(pod ? "pod " : "container ", pod ? quotedPod(l, 63) : quoted(shortID(l.containerID, l.shortened), 120), ` since ${format(l.start)}`);
  });
  nodes.push(cell.state === State.unknown ? "" : cell.sure ? ", certain" : ", uncertain");
  if (cell.why.length > 0) nodes.push(": ", ...cell.why.flatMap((why, i) => [i > 0 ? "; " : "", whole(why)]));
  return nodes;
}

// stateText is stateNodes as text.
function stateText(moment: Moment, address: string): string {
  const cell = moment.cell(address);
  const holders = cell.leases.map((index) => {
    const l = moment.view.leases.of(index);
    return `${podText(l) ? "pod " + printable(podText(l)) : "container " + printable(l.containerID)} since ${format(l.start)}`;
  });
  return stateNames[cell.state] + (holders.length ? " by " + holders.join(", or by ") : "") + (cell.state === State.unknown ? "" : cell.sure ? ", certain" : ", uncertain")
    + (cell.why.length ? ": " + cell.why.map(printable).join("; ") : "");
}
