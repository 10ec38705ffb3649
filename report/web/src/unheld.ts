// What addresses are that nobody holds: by the ranges that addresses were given from, and by what is lost.

import { compareAddresses, parseAddress, type AddressList, type Parsed } from "./address.ts";
import { DataError } from "./bytes.ts";
import { leftOpen, nearUnknown, notRecorded, notRecordedYet } from "./doubts.ts";
import { indexOf, instantOf, type RowData, type ViewData } from "./header.ts";
import { State, type Certainty, type Instant, type Phase, type Range } from "./types.ts";
import { before } from "./windows.ts";

// Row is what is known from an instant on, until the next row's.
export interface Row {
  readonly from: Instant | null; // since ever
  readonly general: boolean; // of an address with rows of its own: those of all others are valid from here on
  readonly unknown: readonly string[];
  readonly candidates: readonly number[];
  readonly possible: readonly number[];
  readonly maybe: readonly string[];
  readonly certainty: Certainty;
  readonly doubts: readonly string[];
  readonly steps: readonly [first: number, behind: number]; // of Course.steps, those that may have been by then
  readonly open: boolean;
}

// Step is that a clock was set before an event.
export interface Step {
  readonly seq: number;
  readonly doubt: string;
}

export interface Unheld {
  readonly state: State;
  readonly sure: boolean;
  readonly why: readonly string[];
}

interface ParsedRange {
  readonly start: Parsed;
  readonly end: Parsed;
  readonly gateway: Parsed | null;
}

interface Change {
  readonly known: boolean;
  readonly partial: boolean;
  readonly indexes: readonly number[];
  readonly ranges: readonly ParsedRange[];
}

// Course is the rows of a view.
export class Course {
  readonly rows: readonly Row[];
  readonly own: ReadonlyMap<number, readonly Row[]>; // by index of the address
  readonly steps: readonly Step[];
  private readonly changes: readonly Change[];
  private readonly addresses: AddressList;
  private readonly scratch: Uint8Array;

  constructor(view: ViewData, addresses: AddressList) {
    this.addresses = addresses;
    this.scratch = new Uint8Array(addresses.count);
    const parsed = view.ranges.map(parseRange);
    this.changes = view.changes.map((c) => {
      const ranges = c.ranges.map((i) => parsed[indexOf(i, parsed.length, "range")]);
      return { known: c.known, partial: c.partial, indexes: c.ranges, ranges };
    });
    this.steps = view.steps.map((s) => ({ seq: s.seq, doubt: view.texts[indexOf(s.doubt, view.texts.length, "text")] }));
    this.rows = this.readRows(view.rows, view.texts);
    if (this.rows.length === 0) throw new DataError("read the page's data: a network has no row");
    this.own = new Map(view.own.map((o) => [indexOf(o.address, addresses.count, "address"), this.readRows(o.rows, view.texts)]));
  }

  private readRows(rows: readonly RowData[], texts: readonly string[]): Row[] {
    const text = (i: number) => texts[indexOf(i, texts.length, "text")];
    const change = (i: number) => (i === -1 ? i : indexOf(i, this.changes.length, "change of ranges"));
    let last: Instant = { ms: -Infinity, ns: 0 };
    return rows.map((r, i) => {
      const from = r.from === null ? null : instantOf(r.from);
      if (i > 0 && (from === null || !before(last.ms, last.ns, from.ms, from.ns))) throw new DataError("read the page's data: rows are not in order");
      last = from ?? last;
      const [first, behind] = r.steps ?? [0, 0];
      if (r.steps) [first, behind - 1].forEach((step) => indexOf(step, this.steps.length, "clock step"));
      return {
        from,
        general: r.general ?? false,
        unknown: r.unknown.map(text),
        candidates: r.candidates.map(change),
        possible: r.possible.map(change),
        maybe: r.maybe.map(text),
        certainty: r.certainty ?? "certain",
        doubts: (r.doubts ?? []).map(text),
        steps: [first, behind],
        open: r.open ?? false,
      };
    });
  }

  // phases are the rows as far as they tell of the ranges.
  phases(): Phase[] {
    return this.rows.map((row) => {
      const index = row.candidates[0] ?? row.possible[0] ?? -1;
      const change = index < 0 ? undefined : this.changes[index];
      return {
        from: row.from,
        known: row.unknown.length === 0 && change !== undefined && change.known,
        ranges: change?.indexes ?? [],
        whole: change !== undefined && !change.partial,
        why: row.unknown,
      };
    });
  }

  // of returns what an address is that nobody holds, by a row.
  of(row: Row, address: Parsed): Unheld {
    if (row.unknown.length > 0) return { state: State.unknown, sure: true, why: row.unknown };
    for (const c of row.candidates) {
      if (this.stateIn(c, address) === State.unknown) {
        return { state: State.unknown, sure: true, why: [c < 0 ? notRecordedYet : notRecorded] };
      }
    }
    const all = [...row.candidates, ...row.possible];
    if (all.length === 0) return { state: State.unknown, sure: true, why: [notRecordedYet] };
    const states = all.map((c) => this.stateIn(c, address));
    const state = states[0];
    const why = [...row.maybe]; // whole sentences
    states.forEach((s, i) => {
      if (s === State.unknown) why.push(nearUnknown + (all[i] < 0 ? notRecordedYet : notRecorded));
      else if (s !== state && !why.includes(leftOpen)) why.push(leftOpen);
    });
    return { state, sure: row.maybe.length === 0 && states.every((s) => s === state), why };
  }

  // fill writes what each address of the page is that nobody holds, by a row of all.
  fill(row: Row, state: Uint8Array, sure: Uint8Array): void {
    const all = [...row.candidates, ...row.possible];
    sure.fill(row.maybe.length > 0 && row.unknown.length === 0 ? 0 : 1);
    if (row.unknown.length > 0 || all.length === 0) {
      state.fill(State.unknown);
      return;
    }
    this.fillIn(all[0], state);
    for (const c of all.slice(1)) {
      this.fillIn(c, this.scratch);
      for (let a = 0; a < state.length; a++) if (this.scratch[a] !== state[a]) sure[a] = 0;
    }
    for (const c of row.candidates) { // if one of them is unknown, it is, whatever the others are
      this.fillIn(c, this.scratch);
      for (let a = 0; a < state.length; a++) {
        if (this.scratch[a] !== State.unknown) continue;
        state[a] = State.unknown;
        sure[a] = 1;
      }
    }
  }

  private stateIn(change: number, address: Parsed): State {
    const c = change < 0 ? undefined : this.changes[change];
    if (c === undefined || !c.known) return State.unknown;
    let inside = false;
    for (const r of c.ranges) {
      if (r.gateway !== null && compareAddresses(r.gateway, address) === 0) return State.gateway;
      inside ||= compareAddresses(r.start, address) <= 0 && compareAddresses(address, r.end) <= 0;
    }
    return inside ? State.free : c.partial ? State.unknown : State.notOurs;
  }

  // fillIn is stateIn of all addresses of the page.
  private fillIn(change: number, state: Uint8Array): void {
    const c = change < 0 ? undefined : this.changes[change];
    if (c === undefined || !c.known) {
      state.fill(State.unknown);
      return;
    }
    state.fill(c.partial ? State.unknown : State.notOurs);
    for (const r of c.ranges) {
      const behind = this.addresses.index(r.end) < 0 ? 0 : 1;
      state.fill(State.free, this.addresses.rank(r.start), Math.max(this.addresses.rank(r.start), this.addresses.rank(r.end) + behind));
    }
    for (const r of c.ranges) {
      const gateway = r.gateway === null ? -1 : this.addresses.index(r.gateway);
      if (gateway >= 0) state[gateway] = State.gateway;
    }
  }
}

function parseRange(r: Range): ParsedRange {
  const parse = (text: string) => {
    const a = parseAddress(text);
    if (a === null) throw new DataError(`read the page's data: ${JSON.stringify(text)} is no address`);
    return a;
  };
  return { start: parse(r.start), end: parse(r.end), gateway: r.gateway === "" ? null : parse(r.gateway) };
}

// rowAt returns the index of the row that is valid at an instant, -1 if none is.
export function rowAt(rows: readonly Row[], at: Instant): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const from = rows[middle].from;
    if (from !== null && before(at.ms, at.ns, from.ms, from.ns)) high = middle;
    else low = middle + 1;
  }
  return low - 1;
}
