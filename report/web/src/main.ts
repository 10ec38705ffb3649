// The page that `leasectl report` writes: opens its data and puts the parts together.
import { element } from "./dom.ts";
import { ReportPage } from "./page.ts";
import { mountTheme } from "./theme.ts";
import type { Report } from "./types.ts";

// start shows a report that has been opened.
export function start(report: Report): void {
  const page = new ReportPage(report, { view: 0, at: report.views[0].to, ip: "", query: "", zone: "UTC", colour: "state" }, element("live"));
  element("main").hidden = false;
  mountTheme();
  page.say("");
}
