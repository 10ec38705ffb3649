// The grid: one canvas for each part of the addresses, a cursor for keyboard and pointer, and the cursor's row as real cells that a
// screen reader reads.
import { Cells } from "./cells.ts";
import { button, el, element } from "./dom.ts";
import { addressOf, arrange, cidrOf, labelOf, partOf, parts, rowLabelOf, textOf, valueOf, type Focus, type Part } from "./layout.ts";
import { mountLegend, type Legend } from "./legend.ts";
import { Code, Painter } from "./paint.ts";
import { count } from "./text.ts";
import { themeChanged } from "./theme.ts";
import { stateNames, type Page, type Selection } from "./types.ts";
import { about } from "./words.ts";
import { focusOf } from "./zoom.ts";

const largest = 26; // CSS pixels of a cell
const labelHeight = 14;
const paper = [660, 540] as const; // CSS pixels of the width that a sheet of paper has at least, and of the height that what is above leaves
const smallestFocus = 8; // bits of the addresses that zooming in ends at

const atOnce = 16; // parts that are drawn wherever they are; others when they come near to what is in sight: a canvas takes its time

// Sheet is one part as it is drawn.
interface Sheet {
  readonly part: Part;
  readonly canvas: HTMLCanvasElement;
  readonly labels: readonly [columns: HTMLElement, rows: HTMLElement]; // empty until it is drawn first
  readonly drawn: Uint8Array; // code of each cell as it was painted
  readonly cursor: HTMLElement;
  readonly chosen: HTMLElement;
  near: boolean; // it is to be drawn
  surface: Surface | null; // once it is drawn
}

interface Surface {
  readonly context: CanvasRenderingContext2D;
  readonly image: ImageData;
  readonly pixels: Uint32Array;
}

export class Grid {
  private readonly page: Page;
  private readonly map = element("map");
  private readonly grid = element("grid");
  private readonly status = element("status");
  private readonly crumbs = element("zoom");
  private readonly tip = el("div", { class: "tip", "aria-hidden": "true", hidden: true });
  private readonly legend: Legend;
  private path: Focus[] = []; // what is zoomed in to, step by step
  private all: Part[] = [];
  private cells!: Cells;
  private sheets: Sheet[] = [];
  private readonly painters = new Map<string, Painter>(); // of the theme
  private readonly sight = new IntersectionObserver((seen) => this.seen(seen), { rootMargin: "100%" });
  private cursor = 0; // cell, of all parts
  private over = -1; // cell that the pointer is on
  private row: HTMLElement[] = []; // the real cells of the cursor's row
  private width = 0;
  private waiting = 0; // frame in which words will be brought up to date

  constructor(page: Page) {
    this.page = page;
    this.legend = mountLegend(page);
    this.map.append(this.tip);
    this.path = pathOf(page.selection.net);
    this.layout();
    this.reveal(page.selection.ip);
    page.listen((now, before) => this.follow(now, before));
    document.addEventListener(themeChanged, () => this.repaint());
    new ResizeObserver(() => this.resized()).observe(this.map);
    addEventListener("beforeprint", () => {
      this.layout(...paper);
      for (const sheet of this.sheets) this.drawSheet(sheet, true);
      this.tell(); // no frame comes before the paper
    });
    addEventListener("afterprint", () => this.layout());
    this.grid.addEventListener("keydown", (e) => this.key(e));
    this.grid.addEventListener("focus", () => this.tellSoon());
    addEventListener("scroll", () => this.hover(-1), { passive: true, capture: true });
    addEventListener("keydown", (e) => {
      if (e.key === "Escape") this.hover(-1);
    }, { capture: true });
  }

  private follow(now: Selection, before: Selection): void {
    const net = this.path.length ? cidrOf(this.path[this.path.length - 1]) : "";
    if (now.view !== before.view || now.net !== net) {
      this.path = pathOf(now.net);
      this.layout();
    }
    if (now.ip !== before.ip || now.view !== before.view) this.reveal(now.ip);
    if (now.ip && now.ip !== before.ip && valueOf(now.ip)) this.page.say([now.ip, ...about(this.page.moment, now.ip)].join(", "));
    if (now.view === before.view && (now.at !== before.at || now.colour !== before.colour)) this.draw();
  }

  // reveal goes to an address, and out of what is zoomed in to if it is elsewhere.
  private reveal(ip: string): void {
    if (ip && this.cells.cell(ip) < 0 && this.path.length) {
      this.path = [];
      this.layout();
      this.page.set({ net: "" });
    }
    const cell = ip ? this.cells.cell(ip) : -1;
    if (cell >= 0) this.cursor = cell;
    this.mark();
  }

  private resized(): void {
    if (Math.abs(this.map.clientWidth - this.width) > 1) this.layout();
  }

  private layout(width = this.map.clientWidth, height = 0): void {
    const { page } = this;
    const view = page.report.views[page.selection.view];
    const chosen = page.selection.ip;
    const onChosen = chosen !== "" && this.all.length > 0 && this.cells.cell(chosen) === this.cursor;
    const before = onChosen ? chosen : this.all.length ? this.firstAddress(this.cursor) : null;
    this.all = parts(view, this.path.at(-1) ?? null);
    this.cells = new Cells(this.all, view);
    this.width = width;
    const ratio = devicePixelRatio || 1;
    const gutter = gutterOf(this.all);
    const high = (height || Math.max(380, innerHeight - 260)) * ratio;
    arrange(this.all, Math.max(160, this.width - gutter - 2) * ratio, high, Math.round(largest * ratio), height ? 1 : 3 * ratio);
    for (const sheet of this.sheets) sheet.canvas.closest(".part")?.remove();
    this.sight.disconnect();
    this.sheets = this.all.map((part, i) => this.sheet(part, gutter, ratio, i < atOnce));
    const cell = this.cells.cell(before ?? view.ranges[0]?.start ?? "");
    this.cursor = Math.max(0, cell);
    this.row = [];
    this.grid.replaceChildren();
    this.grid.setAttribute("aria-rowcount", String(this.all.reduce((sum, part) => sum + part.rows, 0)));
    this.grid.setAttribute("aria-colcount", String(Math.max(1, ...this.all.map((part) => part.columns))));
    this.drawCrumbs();
    this.draw();
    this.mark();
  }

  private sheet(part: Part, gutter: number, ratio: number, near: boolean): Sheet {
    const cell = part.size / ratio;
    const canvas = el("canvas", { width: part.columns * part.size, height: part.rows * part.size, "aria-hidden": "true" });
    canvas.style.width = `${part.columns * cell}px`;
    canvas.style.height = `${part.rows * cell}px`;
    const mark = (name: string): HTMLElement => {
      const made = el("div", { class: name, hidden: true });
      made.style.width = made.style.height = `${cell}px`;
      return made;
    };
    const [cursor, chosen] = [mark("cursor"), mark("chosen")];
    const cells = el("div", { class: "cells" }, canvas, chosen, cursor);
    const label = (name: string): HTMLElement => el("div", { class: name, "aria-hidden": "true" });
    const labels = [label("column-labels"), label("row-labels")] as const;
    const rows = el("div", { class: "rows" }, ...labels, cells);
    rows.style.gridTemplateColumns = `${gutter}px auto`;
    this.map.append(el("div", { class: "part" }, el("h3", {}, part.title), rows));
    this.point(canvas, part, cell);
    if (!near) this.sight.observe(canvas);
    return { part, canvas, labels, drawn: new Uint8Array(part.cells).fill(255), cursor, chosen, near, surface: null };
  }

  private seen(entries: readonly IntersectionObserverEntry[]): void {
    const near = new Map(entries.map((e) => [e.target, e.isIntersecting]));
    for (const sheet of this.sheets) {
      sheet.near = near.get(sheet.canvas) ?? sheet.near;
      if (near.has(sheet.canvas)) this.drawSheet(sheet);
    }
  }

  private point(canvas: HTMLCanvasElement, part: Part, size: number): void {
    const at = (e: MouseEvent): number => {
      const [column, row] = [Math.floor(e.offsetX / size), Math.floor(e.offsetY / size)];
      const cell = row * part.columns + column;
      return column >= 0 && column < part.columns && cell >= 0 && cell < part.cells ? part.first + cell : -1;
    };
    canvas.addEventListener("pointermove", (e) => this.hover(at(e), e));
    canvas.addEventListener("pointerleave", () => this.hover(-1));
    canvas.addEventListener("click", (e) => {
      const cell = at(e);
      if (cell < 0) return;
      this.move(cell);
      this.choose();
    });
    canvas.addEventListener("dblclick", (e) => {
      const cell = at(e);
      if (cell < 0) return;
      this.move(cell);
      this.zoomIn();
    });
  }

  private draw(): void {
    this.cells.read(this.page.moment, this.page.selection.colour);
    for (const sheet of this.sheets) this.drawSheet(sheet);
    this.tellSoon();
  }

  // drawSheet brings a picture up to the moment: only cells that say another thing than before are painted.
  private drawSheet(sheet: Sheet, anyway = false): void {
    if (!sheet.near && !anyway) return;
    const { part, drawn } = sheet;
    const painter = this.painter(part.size);
    const { context, image, pixels } = (sheet.surface ??= this.surface(sheet, painter));
    const { codes } = this.cells;
    const [size, wide] = [part.size, image.width];
    let [first, last] = [part.rows, -1];
    for (let row = 0, cell = 0; row < part.rows; row++) {
      const end = Math.min(cell + part.columns, part.cells);
      for (let x = 0; cell < end; cell++, x += size) {
        const code = codes[part.first + cell];
        if (code === drawn[cell]) continue;
        drawn[cell] = code;
        painter.paint(pixels, wide, x, row * size, code);
        if (row < first) first = row;
        last = row;
      }
    }
    if (last >= first) context.putImageData(image, 0, 0, 0, first * size, wide, (last - first + 1) * size);
  }

  private surface({ part, canvas, labels }: Sheet, painter: Painter): Surface {
    const cell = part.size / (devicePixelRatio || 1);
    labels[0].append(...columnLabels(part, cell));
    labels[1].append(...rowLabels(part, cell));
    const image = new ImageData(canvas.width, canvas.height);
    const pixels = new Uint32Array(image.data.buffer).fill(painter.background);
    return { context: canvas.getContext("2d", { alpha: false })!, image, pixels };
  }

  // painter is shared by parts whose cells are of one size.
  private painter(size: number): Painter {
    const ratio = devicePixelRatio || 1;
    const key = `${size} ${ratio}`;
    let made = this.painters.get(key);
    if (!made) this.painters.set(key, (made = new Painter(size, ratio)));
    return made;
  }

  private repaint(): void {
    this.painters.clear();
    for (const sheet of this.sheets) {
      sheet.surface?.pixels.fill(this.painter(sheet.part.size).background);
      sheet.drawn.fill(255);
    }
    this.draw();
    this.legend.paint();
  }

  private partOf(cell: number): Part {
    return partOf(this.all, cell);
  }

  private firstAddress(cell: number): string {
    const part = this.partOf(cell);
    return textOf(addressOf(part, cell - part.first), part.is4);
  }

  private mark(): void {
    const chosen = this.page.selection.ip ? this.cells.cell(this.page.selection.ip) : -1;
    const ratio = devicePixelRatio || 1;
    for (const { part, cursor, chosen: ring } of this.sheets) {
      for (const [mark, cell] of [[cursor, this.cursor], [ring, chosen]] as const) {
        const inside = cell >= part.first && cell < part.first + part.cells;
        mark.hidden = !inside;
        if (!inside) continue;
        const step = part.size / ratio;
        mark.style.left = `${((cell - part.first) % part.columns) * step}px`;
        mark.style.top = `${Math.floor((cell - part.first) / part.columns) * step}px`;
      }
    }
    this.tellSoon();
  }

  private hover(cell: number, e?: PointerEvent): void {
    if (cell === this.over && !e) return;
    this.over = cell;
    this.tip.hidden = cell < 0;
    if (e && cell >= 0) {
      const [x, y] = [e.clientX, e.clientY];
      this.tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - 380))}px`;
      this.tip.style.top = y > innerHeight - 160 ? `${y - 14 - this.tip.offsetHeight}px` : `${y + 18}px`;
    }
    this.tellSoon();
  }

  // Words are brought up to date once a frame, outside of the slider's step.
  private tellSoon(): void {
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0;
      this.tell();
    });
  }

  private tell(): void {
    this.legend.count(this.cells);
    if (this.all.length === 0) {
      this.status.textContent = "no range is known, and no address was leased";
      return;
    }
    this.fillRow();
    const said = this.say(this.over >= 0 ? this.over : this.cursor);
    this.status.textContent = said.join(", ");
    if (this.over >= 0) this.tip.replaceChildren(...said.map((line, i) => el(i ? "div" : "strong", {}, el("bdi", {}, line))));
  }

  // say is a cell in words: the address, then what it is.
  private say(cell: number): string[] {
    const part = this.partOf(cell);
    const label = labelOf(part, cell - part.first);
    if (part.shift === 0) return [label, ...about(this.page.moment, label)];
    const { moment, selection } = this.page;
    const said = [label, this.short(cell), `${count(this.cells.within(cell))} of ${count(2 ** part.shift)} addresses held`, this.cells.top(cell, moment, selection.colour)];
    return said.filter((text) => text !== "");
  }

  private short(cell: number): string {
    const code = this.cells.codes[cell];
    const unsure = code & 1 ? ", uncertain" : "";
    if (code < Code.age) return stateNames[code >> 1] + unsure;
    if (code >= Code.unknownShare) return "the rest unknown" + unsure;
    if (code >= Code.share) return "used" + unsure;
    const part = this.partOf(cell);
    return stateNames[this.page.moment.cell(labelOf(part, cell - part.first)).state] + unsure;
  }

  // fillRow makes the cursor's row of real cells, or brings it up to date. The active cell has all that the status line says.
  private fillRow(): void {
    const part = this.partOf(this.cursor);
    const inPart = this.cursor - part.first;
    const row = Math.floor(inPart / part.columns);
    const begin = row * part.columns;
    const count = Math.min(part.columns, part.cells - begin);
    if (this.row.length !== count) {
      this.row = Array.from({ length: count }, (_, i) => el("span", { role: "gridcell", id: `cell-${i + 1}`, "aria-colindex": i + 1 }));
      this.grid.replaceChildren(el("div", { role: "row", class: "unseen" }, ...this.row));
    }
    this.grid.firstElementChild!.setAttribute("aria-rowindex", String(part.firstRow + row + 1));
    this.row.forEach((made, i) => {
      const cell = part.first + begin + i;
      const text = begin + i === inPart ? this.say(cell).join(", ") : `${labelOf(part, begin + i)} ${this.short(cell)}`;
      if (made.textContent !== text) made.textContent = text;
      const chosen = String(part.shift === 0 && labelOf(part, begin + i) === this.page.selection.ip);
      if (made.getAttribute("aria-selected") !== chosen) made.setAttribute("aria-selected", chosen);
    });
    this.grid.setAttribute("aria-activedescendant", `cell-${inPart - begin + 1}`);
  }

  private move(cell: number): void {
    const last = this.all[this.all.length - 1];
    this.cursor = Math.max(0, Math.min(cell, last.first + last.cells - 1));
    this.mark();
    this.keepInSight();
  }

  private keepInSight(): void {
    for (const { cursor } of this.sheets) if (!cursor.hidden) cursor.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  private choose(): void {
    const part = this.partOf(this.cursor);
    if (part.shift > 0) return this.zoomIn();
    const ip = labelOf(part, this.cursor - part.first);
    if (ip === this.page.selection.ip) this.page.say(this.say(this.cursor).join(", "));
    this.page.set({ ip, lease: -1 });
  }

  private key(e: KeyboardEvent): void {
    if (e.altKey || e.metaKey || this.all.length === 0) return;
    const part = this.partOf(this.cursor);
    const column = (this.cursor - part.first) % part.columns;
    const lastCell = this.all[this.all.length - 1].first + this.all[this.all.length - 1].cells - 1;
    const rowStart = this.cursor - column;
    const moves: Record<string, () => void> = {
      ArrowLeft: () => this.move(this.cursor - 1),
      ArrowRight: () => this.move(this.cursor + 1),
      ArrowUp: () => this.vertical(-1),
      ArrowDown: () => this.vertical(1),
      PageUp: () => this.vertical(-16),
      PageDown: () => this.vertical(16),
      Home: () => this.move(e.ctrlKey ? 0 : rowStart),
      End: () => this.move(e.ctrlKey ? lastCell : Math.min(rowStart + part.columns, part.first + part.cells) - 1),
      Enter: () => this.choose(),
      " ": () => this.choose(),
      "+": () => this.zoomIn(),
      "=": () => this.zoomIn(),
      "-": () => this.zoomOut(),
      Escape: () => this.zoomOut(),
    };
    const act = moves[e.key];
    if (!act || (e.ctrlKey && e.key !== "Home" && e.key !== "End")) return;
    e.preventDefault();
    e.stopPropagation();
    this.over = -1;
    this.tip.hidden = true;
    act();
  }

  // vertical goes by rows, and on into the part above or below.
  private vertical(rows: number): void {
    const part = this.partOf(this.cursor);
    const index = this.all.indexOf(part);
    const target = this.cursor + rows * part.columns;
    const column = (this.cursor - part.first) % part.columns;
    if (target >= part.first && target < part.first + part.cells) return this.move(target);
    const next = this.all[index + Math.sign(rows)];
    if (!next) {
      const edge = rows < 0 ? part.first + column : part.first + (part.rows - 1) * part.columns + column;
      return this.move(Math.min(edge, part.first + part.cells - 1));
    }
    const row = rows < 0 ? next.rows - 1 : 0;
    this.move(next.first + Math.min(row * next.columns + Math.min(column, next.columns - 1), next.cells - 1));
  }

  // deeper is what zooming in at the cursor leads to; null if there is nothing closer.
  private deeper(): Focus | null {
    if (this.all.length === 0) return null;
    const part = this.partOf(this.cursor);
    let bits = part.shift || smallestFocus;
    if (!part.sparse) {
      const now = this.path.at(-1)?.bits ?? Math.ceil(Math.log2(part.cells)) + part.shift;
      bits = Math.max(smallestFocus, 4 * Math.ceil(now / 4) - 4); // /12, /16, /20, /24
    }
    if (part.cells * 2 ** part.shift <= 2 ** bits) return null;
    const value = valueOf(this.firstAddress(this.cursor))!.value;
    return { is4: part.is4, bits, base: (value >> BigInt(bits)) << BigInt(bits) };
  }

  private zoomIn(): void {
    const focus = this.deeper();
    if (focus) this.zoomTo([...this.path, focus]);
  }

  private zoomOut(): void {
    if (this.path.length) this.zoomTo(this.path.slice(0, -1));
  }

  private zoomTo(path: Focus[]): void {
    this.hover(-1); // another cell is under the pointer now
    this.path = path;
    this.layout();
    this.page.set({ net: path.length ? cidrOf(path[path.length - 1]) : "" });
    this.page.say(path.length ? `zoomed to ${cidrOf(path[path.length - 1])}` : "all addresses");
  }

  private drawCrumbs(): void {
    const held = document.activeElement?.closest("#zoom")?.contains(document.activeElement) ? document.activeElement?.textContent : null;
    const out = button("−", "zoom out", () => this.zoomOut());
    const into = button("+", "zoom in at the cursor", () => this.zoomIn());
    out.disabled = this.path.length === 0;
    into.disabled = this.deeper() === null;
    const crumbs = [null, ...this.path].map((focus, i) => {
      const name = focus ? cidrOf(focus) : "all addresses";
      const made = button(name, name, () => this.zoomTo(this.path.slice(0, i)));
      made.className = "crumb";
      if (i === this.path.length) made.setAttribute("aria-current", "true");
      return made;
    });
    this.crumbs.replaceChildren(...crumbs, out, into);
    if (held) [...this.crumbs.querySelectorAll("button")].find((b) => b.textContent === held)?.focus();
  }
}

// pathOf leads to what a link says is zoomed in to.
function pathOf(net: string): Focus[] {
  const focus = focusOf(net);
  return focus ? [focus] : [];
}

// gutterOf is the width of the longest label of a row, in CSS pixels.
function gutterOf(all: readonly Part[]): number {
  let longest = 0;
  for (const part of all) {
    const suffix = part.sparse && part.run > 1 ? 4 : 0;
    for (const cell of [0, part.cells >> 1, part.cells - 1]) longest = Math.max(longest, labelOf(part, cell).length + suffix);
  }
  return Math.min(300, Math.ceil(longest * 6.7) + 12);
}

// rowLabels names rows by their first address, as many of them as there is room for.
function rowLabels(part: Part, cell: number): HTMLElement[] {
  const made: HTMLElement[] = [];
  let every = 1;
  while (every * cell < labelHeight) every *= 2;
  for (let row = 0; row < part.rows; row += every) {
    const label = el("span", {}, rowLabelOf(part, row));
    label.style.top = `${row * cell}px`;
    label.style.height = `${Math.max(cell, labelHeight)}px`;
    made.push(label);
  }
  return made;
}

// columnLabels says how far columns are from a row's first address.
function columnLabels(part: Part, cell: number): HTMLElement[] {
  const made: HTMLElement[] = [];
  let every = 1;
  while (every * cell < 30) every *= 2;
  for (let column = 0; column < part.columns && part.shift === 0; column += every) {
    const label = el("span", {}, `+${part.is4 ? column : column.toString(16)}`);
    label.style.left = `${column * cell}px`;
    made.push(label);
  }
  return made;
}
