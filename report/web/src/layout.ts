// Which address is in which cell: the ranges of a view one after the other, as rows of cells whose number is a power of two, so
// that a row begins at a round address.
import { formatAddress, parseAddress } from "./address.ts";
import type { Addresses, View } from "./types.ts";

// Part is a stretch of addresses with a heading of its own. A dense part has one base; a sparse one has one for each block in use.
export interface Part {
  readonly title: string;
  readonly is4: boolean;
  readonly bases: readonly bigint[]; // first addresses, ascending
  readonly run: number; // cells from each base on
  readonly shift: number; // a cell is 2^shift addresses
  readonly sparse: boolean;
  readonly first: number; // number of its first cell, of all parts
  readonly cells: number;
  columns: number; // as arrange has it
  rows: number;
  firstRow: number; // of all parts
  size: number; // of a cell, in pixels
}

// Focus is what is zoomed in to: an aligned block of addresses.
export interface Focus {
  readonly is4: boolean;
  readonly base: bigint;
  readonly bits: number; // 2^bits addresses
}

interface Span {
  first: bigint;
  last: bigint;
  readonly is4: boolean;
  readonly subnets: string[];
}

const most = 1 << 16; // cells of one part
const block = 8; // bits of a block in use: a /24, or a /120
const denseBits4 = 24; // what is larger is shown by its blocks in use

export function valueOf(text: string): { is4: boolean; value: bigint } | null {
  const bytes = parseAddress(text);
  if (bytes === null) return null;
  let value = 0n;
  for (const b of bytes) value = (value << 8n) | BigInt(b);
  return { is4: bytes.length === 4, value };
}

export function textOf(value: bigint, is4: boolean): string {
  const bytes = new Uint8Array(is4 ? 4 : 16);
  for (let i = bytes.length - 1; i >= 0; i--, value >>= 8n) bytes[i] = Number(value & 255n);
  return formatAddress(bytes);
}

export function cidrOf(focus: Focus): string {
  return `${textOf(focus.base, focus.is4)}/${(focus.is4 ? 32 : 128) - focus.bits}`;
}

function align(value: bigint, bits: number): bigint {
  return (value >> BigInt(bits)) << BigInt(bits);
}

function width(span: Span): number {
  return Number(span.last - span.first).toString(2).length; // bits that tell its addresses apart; for large ones nearly
}

// Bounds is a range as numbers.
interface Bounds {
  readonly is4: boolean;
  readonly start: bigint;
  readonly end: bigint;
  readonly gateway: bigint | null;
  readonly subnet: string;
}

function boundsOf(view: View): Bounds[] {
  const all: Bounds[] = [];
  for (const range of view.ranges) {
    const [start, end] = [valueOf(range.start), valueOf(range.end)];
    if (!start || !end) continue;
    const gateway = range.gateway ? valueOf(range.gateway) : null;
    all.push({ is4: start.is4, start: start.value, end: end.value, gateway: gateway && gateway.is4 === start.is4 ? gateway.value : null, subnet: range.subnet });
  }
  return all;
}

function order(a: { is4: boolean; first: bigint }, b: { is4: boolean; first: bigint }): number {
  return a.is4 !== b.is4 ? (a.is4 ? -1 : 1) : a.first < b.first ? -1 : a.first > b.first ? 1 : 0;
}

// spans are the ranges of a view, and its leased addresses outside of them. Those that share a row of 16 are one.
function spans(ranges: readonly Bounds[]): Span[] {
  const all: Span[] = ranges.map(({ is4, start, end, gateway, subnet }) => {
    const first = gateway !== null && gateway < start ? gateway : start;
    const last = gateway !== null && gateway > end ? gateway : end;
    const near = gateway !== null && start - first < 256n && last - end < 256n;
    return { first: near ? first : start, last: near ? last : end, is4, subnets: [subnet] };
  });
  all.sort(order);
  const merged: Span[] = [];
  for (const span of all) {
    const before = merged.at(-1);
    if (before && before.is4 === span.is4 && align(span.first, 4) <= before.last) {
      if (span.last > before.last) before.last = span.last;
      for (const s of span.subnets) if (!before.subnets.includes(s)) before.subnets.push(s);
    } else {
      merged.push(span);
    }
  }
  return merged;
}

// below counts the numbers up to n that come before something; reached says so of one, and of none behind it that isn't.
function below(n: number, reached: (i: number) => boolean): number {
  let [low, high] = [0, n];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (reached(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

// leasedFrom is the index of the first leased address that is not before one: they are in order, IPv4 first.
function leasedFrom(addresses: Addresses, is4: boolean, value: bigint): number {
  return below(addresses.count, (i) => (addresses.is4(i) === is4 ? addresses.value(i) >= value : is4));
}

// Wanted is which addresses a sparse part is about: those from first to last, without those of spans.
interface Wanted {
  readonly is4: boolean;
  readonly first: bigint;
  readonly last: bigint;
  readonly spans: readonly Span[];
}

function wants({ is4, first, last, spans }: Wanted, value: bigint): boolean {
  if (value < first || value > last) return false;
  const span = spans[below(spans.length, (i) => order(spans[i], { is4, first: value }) > 0) - 1];
  return span === undefined || span.is4 !== is4 || value > span.last;
}

// blocksOf lists the aligned blocks of 2^bits addresses that have a leased address or a gateway.
function blocksOf(view: View, ranges: readonly Bounds[], bits: number, wanted: Wanted): bigint[] {
  const found = new Set<bigint>();
  const { addresses } = view;
  let last = -1n;
  for (let i = leasedFrom(addresses, wanted.is4, wanted.first); i < addresses.count && addresses.is4(i) === wanted.is4; i++) {
    const value = addresses.value(i);
    if (value > wanted.last) break;
    const base = align(value, bits);
    if (base !== last && wants(wanted, value)) found.add((last = base));
  }
  for (const { is4, gateway } of ranges) {
    if (gateway !== null && is4 === wanted.is4 && wants(wanted, gateway)) found.add(align(gateway, bits));
  }
  return [...found].sort((a, b) => (a < b ? -1 : 1));
}

function sparse(view: View, ranges: readonly Bounds[], title: string, first: number, wanted: Wanted): Part | null {
  let bases = blocksOf(view, ranges, block, wanted);
  if (bases.length === 0) return null;
  let shift = 0;
  if (bases.length << block > most * 2) {
    shift = block;
    for (let bits = block + 1; bases.length > most; bits++) bases = blocksOf(view, ranges, (shift = bits), wanted);
  }
  const run = shift === 0 ? 1 << block : 1;
  return { title, is4: wanted.is4, bases, run, shift, sparse: true, first, cells: bases.length * run, columns: 0, rows: 0, firstRow: 0, size: 1 };
}

function dense(title: string, is4: boolean, base: bigint, bits: number, first: number): Part {
  const shift = Math.max(0, bits - 16);
  const cells = 2 ** (bits - shift);
  return { title, is4, bases: [base], run: cells, shift, sparse: false, first, cells, columns: 0, rows: 0, firstRow: 0, size: 1 };
}

// parts lays out a view, or what of it is zoomed in to.
export function parts(view: View, focus: Focus | null): Part[] {
  const made: Part[] = [];
  const next = (): number => (made.length ? made[made.length - 1].first + made[made.length - 1].cells : 0);
  const add = (part: Part | null): void => void (part && made.push(part));
  const ranges = boundsOf(view);
  if (focus) {
    const { is4, base, bits } = focus;
    if (bits <= 16 || (is4 && bits <= denseBits4)) add(dense(cidrOf(focus), is4, base, bits, 0));
    else add(sparse(view, ranges, cidrOf(focus), 0, { is4, first: base, last: base + (1n << BigInt(bits)) - 1n, spans: [] }));
    return made;
  }
  const all = spans(ranges);
  for (const span of all) {
    const title = span.subnets.join(", ");
    const bits = Math.max(width(span), 3);
    if (!span.is4 && bits > 12 || bits > denseBits4) {
      add(sparse(view, ranges, title, next(), { is4: span.is4, first: span.first, last: span.last, spans: [] }));
      continue;
    }
    add(tight(span, title, next()));
  }
  for (const is4 of [true, false]) {
    const outside = { is4, first: 0n, last: (1n << (is4 ? 32n : 128n)) - 1n, spans: all };
    add(sparse(view, ranges, `Addresses outside the ranges, IPv${is4 ? 4 : 6}`, next(), outside));
  }
  return made;
}

// tight is a dense part that does not reach further than to round addresses around its span: a range of 100 addresses in the midst
// of a /16 is four rows of 32.
function tight(span: Span, title: string, first: number): Part {
  let bits = Math.max(width(span), 3);
  while (align(span.first, bits) + (1n << BigInt(bits)) <= span.last) bits++;
  const shift = Math.max(0, bits - 16);
  const grain = Math.min(bits, shift + Math.max(4, Math.min(8, bits - shift - 3)));
  const base = align(span.first, grain);
  const cells = Number((align(span.last, grain) + (1n << BigInt(grain)) - base) >> BigInt(shift));
  return { title, is4: span.is4, bases: [base], run: cells, shift, sparse: false, first, cells, columns: 0, rows: 0, firstRow: 0, size: 1 };
}

// arrange chooses for each part the number of columns with the largest cells that fit into the width. Cells of up to least
// pixels may make a part higher than asked for, larger ones not.
export function arrange(all: readonly Part[], wide: number, high: number, largest: number, least = 3): void {
  let row = 0;
  for (const part of all) {
    const limit = widest(part);
    const biggest = part.sparse ? Math.ceil(largest / 2) : largest;
    [part.size, part.columns] = [0, 8];
    for (let columns = 8; columns <= limit; columns *= 2) {
      const fits = Math.floor(wide / columns);
      const tall = columns <= 256 ? Math.min(fits, least) : 1;
      const size = Math.min(biggest, fits, Math.max(tall, Math.floor(high / Math.ceil(part.cells / columns))));
      if (size >= part.size) [part.size, part.columns] = [size, columns];
      if (columns >= part.cells) break;
    }
    part.size = Math.max(1, part.size);
    part.rows = Math.ceil(part.cells / part.columns);
    part.firstRow = row;
    row += part.rows;
  }
}

// widest is the number of columns with which all rows begin at round addresses.
function widest(part: Part): number {
  if (part.sparse) return part.run > 1 ? part.run : 1024;
  let columns = 8;
  while (columns < 1024 && align(part.bases[0], part.shift + Math.log2(columns * 2)) === part.bases[0]) columns *= 2;
  return columns;
}

// addressOf is the first address of a part's cell.
export function addressOf(part: Part, cell: number): bigint {
  return part.bases[Math.floor(cell / part.run)] + (BigInt(cell % part.run) << BigInt(part.shift));
}

// labelOf is what a cell is called: an address, or a block of them.
export function labelOf(part: Part, cell: number): string {
  const text = textOf(addressOf(part, cell), part.is4);
  return part.shift === 0 ? text : `${text}/${(part.is4 ? 32 : 128) - part.shift}`;
}

// baseBefore is the index of the last base that is not above the address; -1 if all are.
function baseBefore(part: Part, value: bigint): number {
  let [low, high] = [0, part.bases.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (part.bases[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// rowLabelOf is what a row is called: by its first address, or by the block in use that begins with it.
export function rowLabelOf(part: Part, row: number): string {
  const cell = row * part.columns;
  const label = labelOf(part, cell);
  return part.sparse && part.run > 1 && cell % part.run === 0 ? `${label}/${(part.is4 ? 32 : 128) - block}` : label;
}

// cellOf is the cell, within the part, that has the address; -1 if none has.
export function cellOf(part: Part, is4: boolean, value: bigint): number {
  if (is4 !== part.is4) return -1;
  const base = baseBefore(part, value);
  if (base < 0) return -1;
  const offset = (value - part.bases[base]) >> BigInt(part.shift);
  return offset < BigInt(part.run) ? base * part.run + Number(offset) : -1;
}

// cellFrom is the first cell that has the address or later ones: the number of cells if there is none.
function cellFrom(part: Part, value: bigint): number {
  const base = baseBefore(part, value);
  if (base < 0) return 0;
  const offset = (value - part.bases[base]) >> BigInt(part.shift);
  return offset < BigInt(part.run) ? base * part.run + Number(offset) : (base + 1) * part.run;
}

// lastOf is the last address of a part.
function lastOf(part: Part): bigint {
  return part.bases[part.bases.length - 1] + (BigInt(part.run) << BigInt(part.shift)) - 1n;
}

// placed is, for each leased address, the cell it is in, or -1.
export function placed(all: readonly Part[], addresses: Addresses): Int32Array {
  const cells = new Int32Array(addresses.count).fill(-1);
  for (const part of all) {
    const last = lastOf(part);
    for (let i = leasedFrom(addresses, part.is4, part.bases[0]); i < cells.length && addresses.is4(i) === part.is4; i++) {
      const value = addresses.value(i);
      if (value > last) break;
      const cell = cells[i] < 0 ? cellOf(part, part.is4, value) : -1;
      if (cell >= 0) cells[i] = part.first + cell;
    }
  }
  return cells;
}

// partOf is the part that has a cell; the last one if none has.
export function partOf(all: readonly Part[], cell: number): Part {
  return all[Math.min(below(all.length, (i) => cell < all[i].first + all[i].cells), all.length - 1)];
}

// Run is cells whose addresses are all alike, as long as no event speaks of them: from cell on, up to the next one's.
export interface Run {
  readonly cell: number; // of all parts
  readonly probes: readonly string[]; // addresses of theirs: they are alike, but in a cell of many addresses that a range begins or ends in
}

// runs cuts parts where ranges begin, end or have their gateway.
export function runs(all: readonly Part[], view: View): Run[] {
  const made: Run[] = [];
  const ranges = boundsOf(view);
  const cutsOf = (is4: boolean) => {
    const cuts = new Set<bigint>();
    for (const r of ranges) {
      if (r.is4 !== is4) continue;
      cuts.add(r.start).add(r.end + 1n);
      if (r.gateway !== null) cuts.add(r.gateway).add(r.gateway + 1n);
    }
    return [...cuts].sort((a, b) => (a < b ? -1 : 1));
  };
  const [cuts4, cuts6] = [cutsOf(true), cutsOf(false)];
  for (const part of all) {
    const cuts = part.is4 ? cuts4 : cuts6;
    const [begin, last] = [part.bases[0], lastOf(part)];
    const cells = new Set([0]);
    for (let i = below(cuts.length, (k) => cuts[k] >= begin); i < cuts.length && cuts[i] <= last; i++) {
      const cell = cellFrom(part, cuts[i]);
      cells.add(cell);
      if (part.shift > 0) cells.add(cell + 1);
    }
    const near = part.shift > 0 ? ranges.filter((r) => r.is4 === part.is4 && r.end >= begin && r.start <= last) : [];
    for (const cell of [...cells].sort((a, b) => a - b)) {
      if (cell >= part.cells) break;
      const base = addressOf(part, cell);
      const offsets = new Set([probeAt(part, near, base), 0n, (1n << BigInt(part.shift)) - 1n]);
      made.push({ cell: part.first + cell, probes: [...offsets].map((offset) => textOf(base + offset, part.is4)) });
    }
  }
  return made;
}

// probeAt is which address of a cell stands for it: not its gateway, nor what lies before the range that begins within it.
function probeAt(part: Part, ranges: readonly Bounds[], base: bigint): bigint {
  const size = 1n << BigInt(part.shift);
  for (const { start, end, gateway } of ranges) {
    if (end < base || start >= base + size) continue;
    let at = start > base ? start : base;
    if (gateway === at) at++;
    if (at < base + size) return at - base;
  }
  return 0n;
}
