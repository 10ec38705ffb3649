// What each cell says at the instant: one code a cell, found without an allocation per cell.
import { format } from "./instant.ts";
import { cellOf, placed, runs, valueOf, type Part, type Run } from "./layout.ts";
import { bins, Code, codes as codesOf } from "./paint.ts";
import { counted } from "./text.ts";
import { State, type Moment, type Selection, type View } from "./types.ts";

// Upper ends of the bins of age, in milliseconds, and of churn, in leases.
export const ages = [60e3, 600e3, 3600e3, 6 * 3600e3, 24 * 3600e3];
export const churns = [1, 2, 4, 8, 16];
export const shares = [0, 0.25, 0.5, 0.75, 0.999999];

export class Cells {
  readonly codes: Uint8Array;
  readonly counts = new Uint32Array(codesOf); // of cells, by what they say; those of many addresses are not counted
  private readonly parts: readonly Part[];
  private readonly view: View;
  private readonly place: Int32Array; // cell of each leased address
  private readonly runs: readonly Run[];
  readonly sparse: boolean; // of some ranges only what is in use has cells
  readonly blocks: boolean; // there are cells of many addresses
  private readonly many: Uint8Array; // by cell: 1 if it is many addresses
  private readonly tops: Int32Array | null; // of blocks: the address that is coloured by, -1 if none is
  private readonly held: Uint32Array | null; // of blocks
  private readonly open: Uint8Array | null; // of blocks: 1 something is uncertain, 2 something is unknown
  private readonly leased: Uint32Array; // by address: leases up to the instant

  constructor(parts: readonly Part[], view: View) {
    this.parts = parts;
    this.view = view;
    this.sparse = parts.some((part) => part.sparse);
    const last = parts.at(-1);
    const total = last ? last.first + last.cells : 0;
    this.codes = new Uint8Array(total);
    this.place = placed(parts, view.addresses);
    this.runs = runs(parts, view);
    this.leased = new Uint32Array(view.addresses.count);
    this.many = new Uint8Array(total);
    for (const part of parts) if (part.shift > 0) this.many.fill(1, part.first, part.first + part.cells);
    const blocks = (this.blocks = parts.some((p) => p.shift > 0));
    this.tops = blocks ? new Int32Array(total) : null;
    this.held = blocks ? new Uint32Array(total) : null;
    this.open = blocks ? new Uint8Array(total) : null;
  }

  read(moment: Moment, by: Selection["colour"]): void {
    this.codes.fill(0);
    this.counts.fill(0);
    this.runs.forEach((run, i) => {
      this.codes.fill(unheld(moment, run), run.cell, this.runs[i + 1]?.cell ?? this.codes.length);
    });
    if (by === "churn") this.countLeases(moment);
    this.single(moment);
    if (by !== "state") this.graded(moment, by);
    for (let cell = 0; cell < this.codes.length; cell++) if (this.many[cell] === 0) this.counts[this.codes[cell]]++;
    if (this.blocks) this.shares(moment, by);
  }

  private single(moment: Moment): void {
    const { place, codes, many } = this;
    for (let i = 0; i < place.length; i++) {
      const cell = place[i];
      if (cell >= 0 && many[cell] === 0) codes[cell] = 2 * moment.state(i) + (moment.sure(i) ? 0 : 1);
    }
  }

  // graded says in place of the state how long an address has been held, or how often it was leased. What is unknown stays so.
  private graded(moment: Moment, by: "age" | "churn"): void {
    const { place, codes, many, leased } = this;
    for (let i = 0; i < place.length; i++) {
      const cell = place[i];
      if (cell < 0 || many[cell] !== 0) continue;
      const state = codes[cell] >> 1;
      const unsure = codes[cell] & 1;
      if (by === "age") {
        if (state === State.held) codes[cell] = Code.age + 2 * bin(ages, this.age(moment, i)) + unsure;
      } else if (state !== State.unknown && leased[i] > 0) {
        codes[cell] = Code.churn + 2 * bin(churns, leased[i]) + unsure;
      }
    }
  }

  // A block says how much of it is held, how old its oldest lease is, or how often its busiest address was leased: a mean would hide
  // one among many. Where one of its addresses is unknown it is hatched, whatever the others are.
  private shares(moment: Moment, by: Selection["colour"]): void {
    const { place, codes, many } = this;
    const [tops, held, open] = [this.tops!, this.held!, this.open!];
    tops.fill(-1);
    held.fill(0);
    open.fill(0);
    for (let i = 0; i < place.length; i++) {
      const cell = place[i];
      if (cell < 0 || many[cell] === 0) continue;
      const state = moment.state(i);
      if (!moment.sure(i)) open[cell] |= 1;
      if (state === State.unknown) open[cell] |= 2;
      if (state === State.held) held[cell]++;
      const graded = by === "churn" ? this.leased[i] > 0 : by === "age" && state === State.held;
      if (graded && (tops[cell] < 0 || this.grade(moment, by, i) > this.grade(moment, by, tops[cell]))) tops[cell] = i;
    }
    for (const part of this.parts) {
      if (part.shift === 0) continue;
      const size = 2 ** part.shift;
      for (let cell = part.first; cell < part.first + part.cells; cell++) {
        const unknown = codes[cell] >> 1 === State.unknown || (open[cell] & 2) !== 0;
        if (held[cell] === 0 && tops[cell] < 0) {
          if (unknown) codes[cell] = 0;
          else codes[cell] |= open[cell] & 1;
          continue;
        }
        codes[cell] = (unknown ? Code.unknownShare : Code.share) + 2 * this.blockBin(moment, by, cell, size) + (open[cell] & 1);
      }
    }
  }

  private blockBin(moment: Moment, by: Selection["colour"], cell: number, size: number): number {
    if (by === "state") return bin(shares, this.held![cell] / size);
    return bin(by === "age" ? ages : churns, this.grade(moment, by, this.tops![cell]));
  }

  // grade is what an address is coloured by.
  private grade(moment: Moment, by: Selection["colour"], address: number): number {
    return by === "churn" ? this.leased[address] : this.age(moment, address);
  }

  private age(moment: Moment, address: number): number {
    const lease = moment.lease(address);
    return lease < 0 ? 0 : moment.instant.ms - this.view.events.effective.ms[this.view.leases.start[lease]];
  }

  private countLeases(moment: Moment): void {
    const { leased } = this;
    const { count, start, address } = this.view.leases;
    const { ms, ns } = this.view.events.effective;
    const at = moment.instant;
    leased.fill(0);
    for (let l = 0; l < count; l++) {
      const e = start[l];
      if (ms[e] < at.ms || (ms[e] === at.ms && ns[e] <= at.ns)) leased[address[l]]++;
    }
  }

  // within counts the addresses held in a cell of many, sure or not.
  within(cell: number): number {
    return this.held![cell];
  }

  // top says which address of a cell of many it is coloured by, and why; "" if it is by none.
  top(cell: number, moment: Moment, by: Selection["colour"]): string {
    const i = this.tops![cell];
    if (i < 0) return "";
    const ip = this.view.addresses.text(i);
    if (by === "churn") return `busiest of the block: ${ip}, ${counted(this.leased[i], "lease")} so far`;
    const lease = moment.lease(i);
    return lease < 0 ? "" : `oldest lease of the block: ${ip}, since ${format(this.view.leases.of(lease).start)}`;
  }

  // cell is where an address is; -1 if it is in none.
  cell(text: string): number {
    const a = valueOf(text);
    for (const part of a ? this.parts : []) {
      const cell = cellOf(part, a!.is4, a!.value);
      if (cell >= 0) return part.first + cell;
    }
    return -1;
  }
}

// unheld is the code of a run's cells. What is unknown of one address is unknown of its cell.
function unheld(moment: Moment, run: Run): number {
  let code = -1;
  for (const probe of run.probes) {
    const { state, sure } = moment.unheld(probe);
    if (state === State.unknown) return 0;
    if (code < 0) code = 2 * state;
    if (!sure) code |= 1;
  }
  return code;
}

function bin(ends: readonly number[], value: number): number {
  let i = 0;
  while (i < ends.length && value > ends[i]) i++;
  return Math.min(i, bins - 1);
}
