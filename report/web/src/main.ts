// The page that `leasectl report` writes: opens its data and puts the parts together.
import { mountCertainty } from "./certainty.ts";
import { expose } from "./console.ts";
import { open } from "./decode.ts";
import { el, element } from "./dom.ts";
import { Grid } from "./grid.ts";
import { mountJump } from "./jump.ts";
import { mountKeys } from "./keys.ts";
import { mountLink, read } from "./link.ts";
import { ReportPage } from "./page.ts";
import { mountPanels } from "./panels.ts";
import { mountPlay } from "./play.ts";
import { mountSlider } from "./slider.ts";
import { printable } from "./text.ts";
import { mountTheme } from "./theme.ts";
import type { Page, Report } from "./types.ts";
import { nameOf, within } from "./views.ts";

function say(words: readonly string[]): void {
  const problem = element("problem");
  problem.replaceChildren(...words.map((line) => el("span", { class: "doubt" }, el("bdi", {}, line))));
  problem.hidden = words.length === 0;
}

// mountViews lets choose between networks and nodes, where there are several.
function mountViews(page: Page, report: Report): void {
  const area = element("view-area");
  const name = (i: number): string => nameOf(report, i);
  if (report.views.length === 1) {
    area.append(el("bdi", {}, name(0)));
    return;
  }
  const select = el("select", { id: "view" });
  report.views.forEach((_, i) => select.append(el("option", { value: i }, name(i))));
  area.append(el("label", { for: "view" }, "Network "), select);
  const follow = (): void => void (select.value = String(page.selection.view));
  select.addEventListener("change", () => {
    const view = report.views[Number(select.value)];
    page.set({ view: Number(select.value), ip: "", at: within(view, page.selection.at) });
  });
  page.listen(follow);
  follow();
}

// mountName heads the addresses with their network, which the choice says on the screen alone.
function mountName(page: Page): void {
  const tell = (): void => {
    const name = nameOf(page.report, page.selection.view);
    element("grid-h").replaceChildren("Addresses of ", el("bdi", {}, name));
    element("of").replaceChildren(el("bdi", {}, name));
  };
  page.listen((now, before) => {
    if (now.view !== before.view) tell();
  });
  tell();
}

async function main(): Promise<void> {
  const report = await open(document);
  if (report.views.length === 0) throw new Error("it has no network");
  const { selection, wrong } = read(report, location.hash);
  const page = new ReportPage(report, selection, element("live"));
  element("main").hidden = false;
  element("made").textContent = `Made by leasectl ${printable(report.version)} at ${report.made}.`;
  mountTheme();
  mountViews(page, report);
  mountName(page);
  mountSlider(page);
  const transport = mountPlay(page);
  mountJump(page);
  const nextOpen = mountCertainty(page);
  new Grid(page);
  const reveal = mountPanels(page);
  mountKeys(transport, nextOpen);
  mountLink(page, (lines) => say(lines.map((line) => `This page's address line: ${line}`)), reveal);
  reveal();
  say(wrong.map((line) => `This page's address line: ${line}`));
  performance.measure("leaselog:open", { start: 0, end: performance.now() });
  expose(page);
}

main().catch((err: unknown) => {
  element("main").hidden = true;
  say([`This page can't be shown: ${err instanceof Error ? err.message : String(err)}`]);
  console.error(err);
});
