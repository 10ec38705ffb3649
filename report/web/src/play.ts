// Playing, and stepping from event to event.
import { eventsAt, eventsUpTo, nextEvent, previousEvent } from "./cursor.ts";
import { button, el, element } from "./dom.ts";
import { add, compare, format } from "./instant.ts";
import { count, inZone } from "./text.ts";
import type { Instant, Page, View } from "./types.ts";
import { Happenings } from "./words.ts";

const speeds = [1, 10, 60, 600, 3600, 36_000];
const eventSpeeds = [1, 5, 20, 100, 1000];
const longest = 180; // seconds that playing all takes at the speed chosen at first, at most
const most = 8; // events of one instant that are told of
const calm = 1000; // milliseconds from picture to picture where motion is to be reduced

export interface Transport {
  play(): void; // or pause
  next(): void;
  previous(): void;
  first(): void;
  last(): void;
}

export function mountPlay(page: Page): Transport {
  const area = element("transport");
  const happenings = new Map<View, Happenings>();
  const view = (): View => page.report.views[page.selection.view];
  const go = (at: Instant | null, none: string): void => {
    player.stop();
    if (at === null) return page.say(none);
    page.set({ at });
    page.say(`${format(page.selection.at)}. ${element("event").textContent}`);
  };
  const player = new Player(page, speedChoice(page));
  const transport: Transport = {
    play: () => player.toggle(),
    next: () => go(after(view(), page.selection.at), "no event after this instant"),
    previous: () => go(before(view(), page.selection.at), "no event before this instant"),
    first: () => go(view().from, ""),
    last: () => go(view().to, ""),
  };
  const control = (id: string, face: string, label: string, act: () => void): HTMLButtonElement => {
    const made = button(face, label, act);
    made.id = id;
    return made;
  };
  player.button = control("play", "", "", transport.play);
  player.show();
  area.append(
    control("first", "|◀", "to the beginning", transport.first),
    control("previous", "◀", "previous event", transport.previous),
    player.button,
    control("next", "▶", "next event", transport.next),
    control("last", "▶|", "to the end", transport.last),
    player.speed.label,
  );
  const tell = (): void => {
    const now = view();
    let told = happenings.get(now);
    if (!told) happenings.set(now, (told = new Happenings(now)));
    const { at, zone } = page.selection;
    const [instant, event] = [element("instant"), element("event")];
    instant.replaceChildren(el("time", { datetime: format(at) }, format(at)));
    element("local").textContent = zone === "UTC" ? "" : `${inZone(at, zone)} in ${zone}`;
    const place = `${count(eventsUpTo(now, at))} of ${count(now.events.last - now.events.first + 1)} events up to here`;
    const said = eventsAt(now, at).slice(-most).map((e) => told.say(e));
    event.replaceChildren(...(said.length ? [el("bdi", {}, said.join("; ")), " · "] : []), place);
  };
  page.listen((now, before) => {
    if (now.at !== before.at || now.view !== before.view || now.zone !== before.zone) tell();
    if (now.view !== before.view) player.stop();
  });
  tell();
  return transport;
}

// after and before are the times of the nearest events, null if there is none in the time shown. Events outside of it are on the page
// where leases of that time begin or end with them.
function after(view: View, at: Instant): Instant | null {
  const e = nextEvent(view, at);
  const to = e < 0 ? null : timeOf(view, e);
  return to === null || compare(to, view.to) > 0 ? null : to;
}

function before(view: View, at: Instant): Instant | null {
  const e = previousEvent(view, at);
  const to = e < 0 ? null : timeOf(view, e);
  return to === null || compare(to, view.from) < 0 ? null : to;
}

function timeOf(view: View, event: number): Instant {
  return { ms: view.events.effective.ms[event], ns: view.events.effective.ns[event] };
}

interface Speed {
  readonly label: HTMLElement;
  factor(): number; // of time; 0 where it is events
  events(): number; // a second
}

// speedChoice offers speeds of time and of events. Until one is chosen it is that at which all is played in some minutes.
function speedChoice(page: Page): Speed {
  const option = (value: string, text: string): HTMLElement => el("option", { value }, text);
  const select = el(
    "select",
    { id: "speed" },
    el("optgroup", { label: "Time" }, ...speeds.map((f) => option(`t${f}`, f === 1 ? "as it was (1×)" : `${count(f)}×`))),
    el("optgroup", { label: "Events a second" }, ...eventSpeeds.map((n) => option(`e${n}`, `${count(n)} events/s`))),
  );
  let chosen = false;
  select.addEventListener("change", () => (chosen = true));
  const fit = (): void => {
    const { from, to } = page.report.views[page.selection.view];
    const seconds = (to.ms - from.ms) / 1000;
    select.value = `t${speeds.find((f) => seconds / f <= longest) ?? speeds[speeds.length - 1]}`;
  };
  fit();
  page.listen((now, before) => {
    if (now.view !== before.view && !chosen) fit();
  });
  return {
    label: el("label", { class: "field" }, "Speed ", select),
    factor: () => (select.value[0] === "t" ? Number(select.value.slice(1)) : 0),
    events: () => (select.value[0] === "e" ? Number(select.value.slice(1)) : 0),
  };
}

// Player moves the instant with the clock of the screen, so that a slow machine shows fewer pictures and not a slower time.
class Player {
  button!: HTMLButtonElement;
  readonly speed: Speed;
  private readonly page: Page;
  private running = 0; // frame asked for
  private before = 0; // time of the picture before, in milliseconds
  private rest = 0; // nanoseconds, or parts of an event, that have not been shown yet

  constructor(page: Page, speed: Speed) {
    this.page = page;
    this.speed = speed;
  }

  toggle(): void {
    if (this.running) return this.stop();
    const view = this.page.report.views[this.page.selection.view];
    if (compare(this.page.selection.at, view.to) >= 0) this.page.set({ at: view.from });
    this.before = performance.now();
    this.rest = 0;
    this.running = requestAnimationFrame((now) => this.frame(now));
    this.show();
  }

  stop(): void {
    if (!this.running) return;
    cancelAnimationFrame(this.running);
    this.running = 0;
    this.show();
  }

  show(): void {
    this.button.textContent = this.running ? "Pause" : "Play";
    this.button.removeAttribute("aria-label");
    this.button.title = this.running ? "pause (k)" : "play (k)";
  }

  private frame(now: number): void {
    this.running = requestAnimationFrame((next) => this.frame(next));
    const passed = now - this.before;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches && passed < calm) return;
    this.before = now;
    const to = this.target(Math.max(0, passed));
    const view = this.page.report.views[this.page.selection.view];
    if (to === null) return;
    const done = compare(to, view.to) >= 0;
    this.page.set({ at: done ? view.to : to });
    if (done) this.stop();
  }

  // target is where to go after so many milliseconds; null to stay.
  private target(passed: number): Instant | null {
    const { at } = this.page.selection;
    const factor = this.speed.factor();
    if (factor) return add(at, Math.round(passed * 1e6 * factor));
    this.rest += (passed / 1000) * this.speed.events();
    if (this.rest < 1) return null;
    const view = this.page.report.views[this.page.selection.view];
    let to = at;
    for (; this.rest >= 1; this.rest--) to = after(view, to) ?? view.to;
    return to;
  }
}
