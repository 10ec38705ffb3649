// Which addresses are uncertain or unknown at an instant: how many, why, and where the next one is.
import { addressOf, partOf, parts, placed, runs, textOf, valueOf, type Part, type Run } from "./layout.ts";
import { State, type Moment, type Phase, type View } from "./types.ts";
import { compare } from "./instant.ts";

const told = 2; // reasons for what is open

// Standing is what is open at an instant.
export interface Standing {
  readonly unsure: number; // addresses whose holder is uncertain
  readonly unknown: number; // addresses that are unknown, of those that the grid draws
  readonly others: boolean; // addresses are unknown that are too many to be drawn or counted
  readonly why: readonly string[]; // it is unknown; or where nothing is, why the first one is uncertain
}

// Unleased is what those addresses are that no event speaks of. It is the same from one phase to the next.
interface Unleased {
  readonly unknown: number;
  readonly others: boolean;
  readonly why: readonly string[];
  readonly open: readonly string[]; // one address of each run that is unknown or uncertain
}

// Counted is how many addresses of a run of the grid were never leased.
interface Counted {
  readonly never: number;
  readonly drawn: boolean; // the grid draws all of them
}

// Open looks at one view.
export class Open {
  private readonly view: View;
  private readonly parts: readonly Part[];
  private readonly runs: readonly Run[];
  private counted: readonly Counted[] | null = null; // once any run is open: it takes a while
  private readonly phases = new Map<Phase | undefined, Unleased>();

  constructor(view: View) {
    this.view = view;
    this.parts = parts(view, null);
    this.runs = runs(this.parts, view);
  }

  private count(): readonly Counted[] {
    const last = this.parts.at(-1);
    const end = last ? last.first + last.cells : 0;
    const leased = new Uint32Array(this.runs.length);
    for (const cell of placed(this.parts, this.view.addresses)) if (cell >= 0) leased[runOf(this.runs, cell)]++;
    return this.runs.map((run, i) => {
      const part = this.parts.findLast((p) => p.first <= run.cell)!;
      const size = ((this.runs[i + 1]?.cell ?? end) - run.cell) * 2 ** part.shift;
      return { never: size - leased[i], drawn: !part.sparse };
    });
  }

  at(moment: Moment): Standing {
    const { addresses } = this.view;
    const still = this.unleased(moment);
    let [unsure, unknown] = [0, still.unknown];
    let first = -1; // the first that is unknown, else that is uncertain
    for (let i = 0; i < addresses.count; i++) {
      const state = moment.state(i);
      if (state === State.unknown) {
        if (unknown++ === still.unknown) first = i;
      } else if (state === State.held && !moment.sure(i) && unsure++ === 0 && first < 0) first = i;
    }
    const why = [...still.why];
    if (first >= 0 && why.length === 0) why.push(...moment.cell(addresses.text(first)).why);
    return { unsure, unknown, others: still.others, why: [...new Set(why)].slice(0, told) };
  }

  // next is the next address that is uncertain or unknown, behind the one that is given: first those that were leased, then one of
  // each stretch of others; "" if there is none.
  next(moment: Moment, behind: string): string {
    const { addresses } = this.view;
    const { open } = this.unleased(moment);
    const at = open.indexOf(behind);
    if (at >= 0 && at + 1 < open.length) return open[at + 1];
    const begin = at < 0 && behind ? this.rankBehind(behind) : 0;
    const isOpen = (i: number): boolean => moment.state(i) === State.unknown || !moment.sure(i);
    for (let i = begin; i < addresses.count; i++) if (isOpen(i)) return addresses.text(i);
    if (at < 0 && open.length > 0) return open[0];
    for (let i = 0; i < begin; i++) if (isOpen(i)) return addresses.text(i);
    return open[0] ?? "";
  }

  // rankBehind is the index of the first leased address behind one.
  private rankBehind(behind: string): number {
    const { addresses } = this.view;
    const a = valueOf(behind);
    let [low, high] = [0, a ? addresses.count : 0];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const is4 = addresses.is4(middle);
      if (is4 === a!.is4 ? addresses.value(middle) <= a!.value : is4) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private unleased(moment: Moment): Unleased {
    const phase = this.view.phases.findLast((p) => p.from === null || compare(p.from, moment.instant) <= 0);
    let made = this.phases.get(phase);
    if (!made) this.phases.set(phase, (made = this.look(moment)));
    return made;
  }

  // unleasedIn is the first address of a run that was never leased. There is one.
  private unleasedIn(run: number): string {
    const { cell } = this.runs[run];
    const part = partOf(this.parts, cell);
    const size = 1n << BigInt(part.shift);
    for (let i = 0n; ; i++) {
      const ip = textOf(addressOf(part, cell - part.first + Number(i / size)) + (i % size), part.is4);
      if (this.view.addresses.find(ip) < 0) return ip;
    }
  }

  private look(moment: Moment): Unleased {
    let [unknown, others] = [0, false];
    const why = new Set<string>();
    const open: string[] = [];
    for (const [i, { probes }] of this.runs.entries()) {
      for (const probe of probes) {
        const is = moment.unheld(probe);
        if (is.state !== State.unknown && is.sure) continue;
        const { never, drawn } = (this.counted ??= this.count())[i];
        if (never === 0) break;
        open.push(this.view.addresses.find(probe) < 0 ? probe : this.unleasedIn(i));
        if (is.state === State.unknown) {
          if (drawn) unknown += never;
          else others = true;
          if (why.size < told) for (const text of is.why) why.add(text);
        }
        break;
      }
    }
    return { unknown, others, why: [...why], open };
  }
}

// runOf is the index of the run that a cell is in.
function runOf(all: readonly Run[], cell: number): number {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (all[middle].cell <= cell) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
