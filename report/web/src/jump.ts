// The field that takes an instant as the command line does, and the zone that it is read and shown in.
import { el, element } from "./dom.ts";
import { format, parse } from "./instant.ts";
import { beyond, zoneProblem } from "./link.ts";
import type { Page } from "./types.ts";

export function mountJump(page: Page): void {
  const form = element("jump-area") as HTMLFormElement;
  const input = el("input", {
    id: "jump",
    type: "text",
    autocomplete: "off",
    spellcheck: "false",
    size: 30,
    placeholder: "2026-11-03 14:05 or -2h",
    "aria-describedby": "jump-error",
  });
  const zone = el("input", { id: "zone", type: "text", autocomplete: "off", spellcheck: "false", size: 15, list: "zones", value: page.selection.zone });
  zone.setAttribute("aria-describedby", "jump-error");
  const zones = el("datalist", { id: "zones" });
  const error = el("p", { id: "jump-error", class: "error", role: "alert" });
  const local = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const name of new Set(["UTC", local, ...Intl.supportedValuesOf("timeZone")])) zones.append(el("option", { value: name }));
  form.append(
    el("label", { for: "jump" }, "Jump to"),
    input,
    el("button", { type: "submit" }, "Go"),
    el("label", { for: "zone" }, "in zone"),
    zone,
    el("button", { type: "button", id: "zone-local", title: local }, "local"),
    zones,
    error,
  );
  const wrong = (field: HTMLInputElement, why: string): void => {
    error.textContent = why;
    for (const one of [input, zone]) one.setAttribute("aria-invalid", String(why !== "" && one === field));
  };
  const setZone = (): boolean => {
    const name = zone.value.trim() || "UTC";
    const why = zoneProblem(name);
    wrong(zone, why);
    if (why) return false;
    page.set({ zone: name });
    return true;
  };
  zone.addEventListener("change", setZone);
  element("zone-local").addEventListener("click", () => {
    zone.value = local;
    setZone();
  });
  form.addEventListener("keydown", (e) => {
    if (e.key !== "Escape" || e.defaultPrevented || !(e.target instanceof HTMLInputElement)) return;
    e.preventDefault();
    if (e.target === zone) zone.value = page.selection.zone;
    wrong(input, "");
    e.target.blur();
  });
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    if (!setZone()) return;
    if (input.value.trim() === "") return wrong(input, "an instant: 2026-11-03T14:05:00Z, 2026-11-03 14:05, -2h, now");
    try {
      const now = parse(page.report.made, { now: page.selection.at, zone: "UTC" });
      const at = parse(input.value, { now, zone: page.selection.zone });
      const why = beyond(page.report.views[page.selection.view], at);
      wrong(input, why);
      if (why) return;
      page.set({ at });
      page.say(`${format(page.selection.at)}. ${element("event").textContent}`);
    } catch (err) {
      wrong(input, err instanceof Error ? err.message : String(err));
    }
  });
  page.listen((now, before) => {
    if (now.zone !== before.zone) zone.value = now.zone;
    if (now.at !== before.at && error.textContent && document.activeElement !== input) wrong(input, "");
  });
}
