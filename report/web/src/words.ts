// What the grid says in words: of an address, and of an event.
import { format } from "./instant.ts";
import { Kind, kindName } from "./kinds.ts";
import { cut, podText, printable, shortID } from "./text.ts";
import { State, stateNames, type Lease, type Moment, type View } from "./types.ts";

const longest = 120; // characters of one text of the journal

function shown(text: string): string {
  return cut(printable(text), longest);
}

// holder says who has a lease: its pod if that is known, else its container.
export function holder(lease: Lease): string {
  const pod = podText(lease);
  return pod ? "pod " + shown(pod) : "container " + shown(shortID(lease.containerID, lease.shortened));
}

// about says what an address is at the moment: its state, holders, since when, and how certain that is.
export function about(moment: Moment, address: string): string[] {
  const cell = moment.cell(address);
  const said: string[] = [];
  if (cell.state === State.held) {
    for (const index of cell.leases) {
      const lease = moment.view.leases.of(index);
      said.push(`${said.length ? "or" : "held"} by ${holder(lease)} since ${format(lease.start)}`);
    }
  }
  if (said.length === 0) said.push(stateNames[cell.state]);
  if (cell.state !== State.unknown) said.push(cell.sure ? "certain" : "uncertain");
  return said.concat(cell.why.map(shown));
}

// Happenings tells of events what they did to leases. Which lease an event ended is looked up in a list that is made when it is first asked for.
export class Happenings {
  private readonly view: View;
  private ends: { head: Int32Array; next: Int32Array } | null = null;

  constructor(view: View) {
    this.view = view;
  }

  // leases are those that an event began, or ended.
  leases(event: number): number[] {
    const { leases, events } = this.view;
    const found: number[] = [];
    let [low, high] = [0, leases.count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (leases.start[middle] < event) low = middle + 1;
      else high = middle;
    }
    for (let l = low; l < leases.count && leases.start[l] === event; l++) found.push(l);
    if (!this.ends) {
      this.ends = { head: new Int32Array(events.count).fill(-1), next: new Int32Array(leases.count) };
      for (let l = leases.count - 1; l >= 0; l--) {
        const end = leases.end[l];
        if (end < 0) continue;
        this.ends.next[l] = this.ends.head[end];
        this.ends.head[end] = l;
      }
    }
    for (let l = this.ends.head[event]; l >= 0; l = this.ends.next[l]) if (!found.includes(l)) found.push(l);
    return found;
  }

  // say is one event in a line: "event 1234: add 10.0.0.5, pod shop/x".
  say(event: number): string {
    const { events, leases } = this.view;
    const kind = events.kind[event];
    const head = `event ${events.seq[event]}: ${kindName(kind)}`;
    if (kind === Kind.refuse) return `${head}, CNI error code ${events.code[event]}`;
    const all = this.leases(event);
    if (all.length === 0) return head;
    if (all.length > 4) return `${head}, ${all.length} leases`;
    const first = leases.of(all[0]);
    const addresses = all.map((l) => leases.of(l).address);
    const same = all.every((l) => leases.of(l).containerID === first.containerID);
    if (!same) return `${head} ${all.map((l) => `${leases.of(l).address} (${holder(leases.of(l))})`).join(", ")}`;
    return `${head} ${[...new Set(addresses)].join(", ")}, ${holder(first)}`;
  }
}
