// The selection that all parts of the page follow, and what a screen reader is told.
import type { Moment, Page, Report, Selection } from "./types.ts";

export class ReportPage implements Page {
  readonly report: Report;
  private now: Selection;
  private readonly moments: (Moment | undefined)[];
  private readonly listeners: ((now: Selection, before: Selection) => void)[] = [];
  private waiting: Partial<Selection>[] = [];
  private telling = false;
  private steps = 0;
  private readonly live: HTMLElement;

  constructor(report: Report, selection: Selection, live: HTMLElement) {
    this.report = report;
    this.now = selection;
    this.moments = report.views.map(() => undefined);
    this.live = live;
    this.moment.move(selection.at);
  }

  get selection(): Selection {
    return this.now;
  }

  get moment(): Moment {
    return (this.moments[this.now.view] ??= this.report.views[this.now.view].at());
  }

  // A listener that sets something itself is heard after all have been told of the change before.
  set(change: Partial<Selection>): void {
    this.waiting.push(change);
    if (this.telling) return;
    this.telling = true;
    try {
      for (let next = this.waiting.shift(); next; next = this.waiting.shift()) this.change(next);
    } finally {
      this.telling = false;
      this.waiting = [];
    }
  }

  private change(change: Partial<Selection>): void {
    const before = this.now;
    const now = { ...before, ...change };
    if (now.view !== before.view && change.net === undefined) now.net = "";
    if ((now.view !== before.view || now.ip !== before.ip) && change.lease === undefined) now.lease = -1;
    const moved = now.at.ms !== before.at.ms || now.at.ns !== before.at.ns || now.view !== before.view;
    if (!moved && (["ip", "lease", "net", "query", "colour", "zone"] as const).every((name) => now[name] === before[name])) return;
    const begin = performance.now();
    this.now = now;
    if (moved) this.moment.move(now.at);
    for (const listener of this.listeners) listener(now, before);
    if (moved) this.measure(begin);
  }

  // What a step takes can be read in the browser's own tools. Their list is kept from growing while the page plays.
  private measure(begin: number): void {
    if (++this.steps % 10_000 === 0) performance.clearMeasures("leaselog:step");
    performance.measure("leaselog:step", { start: begin, end: performance.now() });
  }

  listen(changed: (now: Selection, before: Selection) => void): void {
    this.listeners.push(changed);
  }

  // The same words twice are read twice only if the element changes: a no-break space at the end does that.
  say(text: string): void {
    this.live.textContent = this.live.textContent === text ? text + "\u00a0" : text;
  }
}
