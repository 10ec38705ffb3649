// The parts of the page beside the grid.
import { mountAbout } from "./about.ts";
import { Detail } from "./detail.ts";
import { element } from "./dom.ts";
import { mountSearch } from "./search.ts";
import { mountStrips } from "./strips.ts";
import { mountPatterns } from "./svg.ts";
import { mountTable } from "./table.ts";
import type { Page } from "./types.ts";

// mountPanels puts them into their sections of the page, where they follow its selection. It returns what brings the chosen lease into sight.
export function mountPanels(page: Page): () => void {
  mountPatterns();
  const detail = new Detail(page, element("detail"));
  mountSearch(page, element("search"), (leases) => detail.show(leases));
  mountTable(page, element("table"));
  mountStrips(page, element("strips"));
  mountAbout(page, element("about"));
  return () => detail.reveal();
}
