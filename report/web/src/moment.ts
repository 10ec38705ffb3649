// The states of all addresses at an instant, quickly for one instant after another.

import { parseAddress, type AddressList, type Parsed } from "./address.ts";
import { whetherHeld } from "./doubts.ts";
import { State, type Cell, type Certainty, type Instant, type Leases, type Moment, type View } from "./types.ts";
import type { Transitions } from "./transitions.ts";
import { rowAt, type Course, type Row, type Unheld } from "./unheld.ts";
import { before, type Spans, type Window } from "./windows.ts";

// Source is what a moment is made of. It doesn't change.
export interface Source {
  readonly view: View;
  readonly leases: Leases;
  readonly addresses: AddressList;
  readonly transitions: Transitions;
  readonly spans: Spans;
  readonly course: Course;
}

// Holding is that a lease's window has an instant.
export interface Holding {
  readonly lease: number;
  readonly window: Window;
}

// parsed returns an address's bytes. Who asks with what an operator has typed must have looked at it before.
export function parsed(address: string): Parsed {
  const ip = parseAddress(address);
  if (ip === null) throw new RangeError(`${JSON.stringify(address)} is no address`);
  return ip;
}

// cellOf says what an address is at an instant, by the windows that have it, in the order of their leases.
export function cellOf(of: Source, ip: Parsed, index: number, at: Instant, holding: readonly Holding[]): Cell {
  if (holding.length === 0) return { ...unheldAt(of, ip, index, at), leases: [] };
  const leases = holding.map((h) => h.lease);
  const doubts = doubtsOf(of, holding);
  const unsure = holding.map((h) => leases.length > 1 || h.window.unsure);
  const sure = !unsure.includes(true);
  const why = doubts.flatMap((said, i) => (unsure[i] ? said : []));
  if (!sure && why.length === 0) why.push(...(of.course.rows[rowAt(of.course.rows, at)]?.doubts ?? [])); // it is not the lease that is in doubt
  return { state: State.held, sure, leases, why: [...new Set(why)] };
}

// doubtsOf returns what is said of each of the leases that hold an address, or may hold it, as `leasectl at` does.
function doubtsOf(of: Source, holding: readonly Holding[]): (readonly string[])[] {
  return holding.map(({ lease, window }) => {
    const then = of.leases.then(lease, window.use);
    return holding.length > 1 || window.partly ? [...then, whetherHeld] : then;
  });
}

// unheldAt says what an address is at an instant if no lease holds it.
function unheldAt({ course }: Source, ip: Parsed, index: number, at: Instant): Unheld {
  const rows = course.own.get(index) ?? [];
  const own = rows[rowAt(rows, at)];
  const row = own === undefined || own.general ? course.rows[rowAt(course.rows, at)] : own;
  return row === undefined ? { state: State.unknown, sure: true, why: [] } : course.of(row, ip);
}

// At is the view at one instant.
export class At implements Moment {
  readonly view: View;
  instant: Instant;
  held = 0;
  private unsure = 0; // of those held
  private readonly of: Source;
  private readonly position: Int32Array; // by address: its transition at the instant; the one before its first if there is none
  private readonly since: Float64Array; // the milliseconds of it, and of the next one: between them nothing changes
  private readonly until: Float64Array;
  private readonly states: Uint8Array;
  private readonly sures: Uint8Array;
  private readonly holders: Int32Array;
  private readonly unheldStates: Uint8Array; // what each address is if nobody holds it
  private readonly unheldSures: Uint8Array;
  private readonly own: { readonly address: number; readonly rows: readonly Row[]; row: number }[];
  private row = -2;

  constructor(source: Source, at: Instant) {
    const count = source.addresses.count;
    this.of = source;
    this.view = source.view;
    this.position = Int32Array.from(source.transitions.offsets.subarray(0, count), (offset) => offset - 1);
    this.since = new Float64Array(count).fill(Infinity); // so that the first move finds it
    this.until = new Float64Array(count);
    this.states = new Uint8Array(count);
    this.sures = new Uint8Array(count);
    this.holders = new Int32Array(count).fill(-1);
    this.unheldStates = new Uint8Array(count);
    this.unheldSures = new Uint8Array(count);
    this.own = Array.from(source.course.own, ([address, rows]) => ({ address, rows, row: -2 }));
    this.instant = at;
    this.move(at);
  }

  move(to: Instant): void {
    this.instant = to;
    const { since, until, holders, states, sures } = this;
    const { ms, ns } = to;
    for (let a = 0; a < since.length; a++) if (ms <= since[a] || ms >= until[a]) this.moveAddress(a, ms, ns);
    if (!this.moveUnheld(to)) return;
    for (let a = 0; a < since.length; a++) {
      if (holders[a] >= 0) continue;
      states[a] = this.unheldStates[a];
      sures[a] = this.unheldSures[a];
    }
  }

  // moveAddress finds the transition of an address. Mostly it is the one before or behind.
  private moveAddress(a: number, toMs: number, toNs: number): void {
    const { offsets, ms, ns, code } = this.of.transitions;
    const first = offsets[a];
    const end = offsets[a + 1];
    let low = this.position[a]; // it, if it is not behind the instant
    if (low >= first && before(toMs, toNs, ms[low], ns[low])) {
      low--;
      if (low >= first && before(toMs, toNs, ms[low], ns[low])) low = this.search(first, low, toMs, toNs);
    } else if (low + 1 < end && !before(toMs, toNs, ms[low + 1], ns[low + 1])) {
      low++;
      if (low + 1 < end && !before(toMs, toNs, ms[low + 1], ns[low + 1])) low = this.search(low + 2, end, toMs, toNs);
    }
    this.position[a] = low;
    this.since[a] = low < first ? -Infinity : ms[low];
    this.until[a] = low + 1 < end ? ms[low + 1] : Infinity;
    this.hold(a, low < first ? -1 : code[low]);
  }

  private hold(a: number, code: number): void {
    if (this.holders[a] >= 0) {
      this.held--;
      this.unsure -= 1 - this.sures[a];
    }
    if (code < 0) {
      this.holders[a] = -1;
      this.states[a] = this.unheldStates[a];
      this.sures[a] = this.unheldSures[a];
      return;
    }
    this.holders[a] = code >> 1;
    this.states[a] = State.held;
    this.sures[a] = code & 1;
    this.held++;
    this.unsure += 1 - this.sures[a];
  }

  // search returns the last transition before end that is not behind an instant; one before low if there is none.
  private search(low: number, end: number, toMs: number, toNs: number): number {
    const { ms, ns } = this.of.transitions;
    while (low < end) {
      const middle = (low + end) >>> 1;
      if (before(toMs, toNs, ms[middle], ns[middle])) end = middle;
      else low = middle + 1;
    }
    return low - 1;
  }

  // moveUnheld reports whether what addresses are that nobody holds may have changed.
  private moveUnheld(to: Instant): boolean {
    const { course, addresses } = this.of;
    const row = rowAt(course.rows, to);
    const rowChanged = row !== this.row;
    let changed = rowChanged;
    if (rowChanged) {
      this.row = row;
      this.unheldStates.fill(State.unknown);
      this.unheldSures.fill(1);
      if (row >= 0) course.fill(course.rows[row], this.unheldStates, this.unheldSures);
    }
    for (const own of this.own) {
      const now = rowAt(own.rows, to);
      if (now === own.row && (!rowChanged || now < 0)) continue;
      own.row = now;
      changed = true;
      const { state, sure } = unheldAt(this.of, addresses.bytes(own.address), own.address, to);
      this.unheldStates[own.address] = state;
      this.unheldSures[own.address] = sure ? 1 : 0;
    }
    return changed;
  }

  state(address: number): State {
    return this.states[address] as State;
  }

  sure(address: number): boolean {
    return this.sures[address] === 1;
  }

  lease(address: number): number {
    return this.holders[address];
  }

  cell(address: string): Cell {
    const ip = parsed(address);
    const index = this.of.addresses.index(ip);
    return cellOf(this.of, ip, index, this.instant, this.holding(index));
  }

  doubtsOf(address: string): readonly (readonly string[])[] {
    return doubtsOf(this.of, this.holding(this.of.addresses.index(parsed(address))));
  }

  // holding are the leases of an address that are in the table at the instant, oldest first.
  private holding(index: number): Holding[] {
    const { addresses, spans } = this.of;
    const { ms, ns } = this.instant;
    const holding: Holding[] = [];
    for (const lease of index < 0 ? [] : addresses.leases(index)) {
      for (const window of spans.windows(lease)) {
        if (!before(ms, ns, window.fromMs, window.fromNs) && before(ms, ns, window.toMs, window.toNs)) holding.push({ lease, window });
      }
    }
    return holding;
  }

  // An address stands for others here, so that rows of its own are not asked.
  unheld(address: string): Unheld {
    return unheldAt(this.of, parsed(address), -1, this.instant);
  }

  get doubts(): readonly string[] {
    const row = this.of.course.rows[this.row];
    if (row === undefined) return [];
    const [first, behind] = row.steps;
    if (first === behind) return row.doubts;
    const since = this.oldest();
    return [...row.doubts, ...this.of.course.steps.slice(first, behind).filter((step) => since <= step.seq).map((step) => step.doubt)];
  }

  // oldest is the number of the first event that gave a lease of the table.
  private oldest(): number {
    const { leases, transitions, view } = this.of;
    let oldest = Infinity;
    for (let a = 0; a < this.holders.length; a++) {
      if (this.holders[a] < 0) continue;
      const lease = transitions.oldest.get(this.position[a]) ?? this.holders[a];
      oldest = Math.min(oldest, view.events.seq[leases.start[lease]]);
    }
    return oldest;
  }

  get certainty(): Certainty {
    const certainty = this.of.course.rows[this.row]?.certainty ?? "unknown";
    return certainty === "certain" && this.unsure > 0 ? "uncertain" : certainty;
  }

  get open(): boolean {
    return this.of.course.rows[this.row]?.open ?? true;
  }
}
