// What the page knows of a journal, once its data is decoded (decode.ts), and what the parts of the page say to each other.

// Instant is a time in UTC: whole milliseconds since 1970, and the nanoseconds beyond them, 0 to 999,999.
export interface Instant {
  readonly ms: number;
  readonly ns: number;
}

// State is what an address can be, as `leasectl who` says it. The numbers are those of the data.
export const State = {
  unknown: 0,
  held: 1,
  free: 2,
  cooling: 3,
  gateway: 4,
  reserved: 5,
  excluded: 6,
  notOurs: 7,
} as const;
export type State = (typeof State)[keyof typeof State];

export const stateNames = ["unknown", "held", "free", "cooling", "gateway", "reserved", "excluded", "not ours"] as const;

// Certainty is that of an answer, in the words of leasectl.
export type Certainty = "certain" | "uncertain" | "unknown";

// Cell is what one address is at an instant. sure is false where leasectl answers "uncertain".
export interface Cell {
  readonly state: State;
  readonly sure: boolean;
  readonly leases: readonly number[]; // indexes of the leases that hold it, or may hold it; oldest first
  readonly why: readonly string[]; // why it is unknown, or not sure
}

// Column of instants, by index: of events.
export interface Times {
  readonly ms: Float64Array;
  readonly ns: Uint32Array;
}

// Events are all events of the time that the page shows, in order, and those beyond it that leases of that time
// began or ended with. kind has the numbers of docs/FORMAT.md (1 add, 2 del, 3 refuse...).
export interface Events {
  readonly count: number;
  readonly seq: Float64Array;
  readonly kind: Uint8Array;
  readonly code: Uint32Array; // of a refuse: the CNI error code
  readonly effective: Times; // the corrected clock
  readonly recorded: Times; // the wall clock as it was written
  readonly journal: Uint16Array; // index into View.journals
  readonly boot: Uint16Array; // index into View.boots
  readonly first: number; // index of the first event within the time that the page shows
  readonly last: number; // and of the last; last < first if there is none
}

// Leases, by index, in the order of the events that gave them, then by address.
export interface Leases {
  readonly count: number;
  readonly address: Uint32Array; // index into Addresses
  readonly start: Uint32Array; // index of the event that gave it
  readonly end: Int32Array; // index of the event that ended it; -1 if none does, see open
  readonly doubtful: Int32Array; // index of the event behind which its use is uncertain; -1 if it never is
  readonly reason: Uint8Array; // of its end, with the numbers of docs/FORMAT.md (1 del, 2 gc...); 0 if no event ends it
  readonly container: Uint32Array; // index into Containers
  readonly pod: Int32Array; // index into Pods; -1 if it is not known
  of(lease: number): Lease;
  // then is what `leasectl at` says of a lease at an instant of its time, without what came later; with its use in doubt or not.
  then(lease: number, use: boolean): readonly string[];
}

// Lease is all that the page has of one, in the words of `leasectl history`.
export interface Lease {
  readonly address: string;
  readonly containerID: string;
  readonly shortened: boolean; // containerID is its first digits, which no other ID of this page begins with
  readonly ifname: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly origin: "cni" | "import";
  readonly startSeq: number;
  readonly start: Instant; // effective
  readonly startRecorded: Instant;
  readonly endSeq: number; // 0 if no event ends it
  readonly end: Instant | null;
  readonly endRecorded: Instant | null;
  readonly reason: string; // of its end; "" without one
  readonly text: string; // what an operator or a rule says of its end
  readonly lost: boolean; // its end is lost: it is not known to be still held
  readonly windowStart: Instant | null; // from when on its use is uncertain
  readonly certainty: Certainty;
  readonly doubts: readonly string[];
  readonly file: string; // that holds its first event
  readonly lastSeq: number; // none of the events up to this one ends it, but that itself
  readonly journal: number;
  readonly live: boolean; // its journal is the one in use: without an end it is held still
}

// Addresses are those that were leased in the time shown, ascending: IPv4 before IPv6.
export interface Addresses {
  readonly count: number;
  text(index: number): string;
  value(index: number): bigint; // as a number, of its family
  is4(index: number): boolean;
  find(address: string): number; // -1 if it was never leased, or is none
  leases(index: number): Uint32Array; // of the address, by start
}

// Containers are the container IDs that had leases, each once, in the order of their first lease.
export interface Containers {
  readonly count: number;
  text(index: number): string;
  shortened(index: number): boolean; // text is its first digits, which no other ID of this page begins with
}

// Pods are the pods that had leases, in the order of their first lease. One may be there more than once.
export interface Pods {
  readonly count: number;
  namespace(index: number): string;
  podName(index: number): string;
}

// Phase is what is known of the ranges from an instant on, until the next one's.
export interface Phase {
  readonly from: Instant | null; // null: since ever
  readonly known: boolean; // false: it is not known what was held, or from which ranges addresses were given
  readonly ranges: readonly number[]; // indexes into View.ranges
  readonly whole: boolean; // there are no ranges but these
  readonly why: readonly string[]; // it is not known
}

// Range is one that addresses are given from.
export interface Range {
  readonly start: string;
  readonly end: string;
  readonly subnet: string; // CIDR
  readonly gateway: string; // "" without one
}

export interface Journal {
  readonly id: string;
  readonly node: string;
  readonly dir: string;
  readonly firstSeq: number; // 0 if it has no event
  readonly lastSeq: number;
  readonly firstTime: string; // RFC 3339
  readonly lastTime: string;
  readonly live: boolean;
}

export interface Boot {
  readonly id: string;
  readonly maxError: number; // of its events' effective times, in nanoseconds
  readonly synced: boolean;
}

// Stretch is a time in which an address was one and the same. Its end is that of the next one's beginning.
export interface Stretch {
  readonly from: Instant;
  readonly cell: Cell;
}

// View is one network on one node: its newest journal and those that this one has succeeded.
export interface View {
  readonly network: string;
  readonly node: string;
  readonly journals: readonly Journal[]; // oldest first
  readonly boots: readonly Boot[];
  readonly from: Instant; // the time that the page shows, both included
  readonly to: Instant;
  readonly covered: Instant | null; // up to which the journal tells all; null if nothing is known
  readonly certainty: Certainty;
  readonly doubts: readonly string[];
  readonly ranges: readonly Range[]; // of all times shown, each once, by start
  readonly phases: readonly Phase[]; // by from
  readonly containers: Containers;
  readonly pods: Pods;
  readonly events: Events;
  readonly leases: Leases;
  readonly addresses: Addresses;

  // at makes a reader of states that is quick when asked of one instant after another.
  at(): Moment;
  // course tells what an address was, over the time that the page shows: at any instant that is in the last stretch
  // which does not begin after it. The first begins with the time shown.
  course(address: string): readonly Stretch[];
}

// Moment is a view at one instant. It is moved, not made again: what it has told before is not valid any more then.
export interface Moment {
  readonly view: View;
  readonly instant: Instant;
  move(to: Instant): void;
  state(address: number): State; // of an address of View.addresses, quickly
  sure(address: number): boolean;
  lease(address: number): number; // of its (newest) lease at the instant; -1 if nobody holds it
  cell(address: string): Cell; // of any address at all
  doubtsOf(address: string): readonly (readonly string[])[]; // what `leasectl at` says of each of the cell's leases
  // unheld is what addresses are that nobody holds and that no event speaks of, for drawing whole ranges at once. An address of
  // View.addresses stands for such a one, too.
  unheld(address: string): { state: State; sure: boolean; why: readonly string[] };
  readonly held: number; // addresses held, sure or not
  readonly doubts: readonly string[]; // about the table as a whole, as `leasectl at` says them
  readonly certainty: Certainty; // of the table, as `leasectl at` says
  readonly open: boolean; // leases may be missing, or be there that were not held
}

export interface Report {
  readonly version: string; // of leasectl that made it
  readonly made: string; // RFC 3339
  readonly asked: { readonly data_dir: string; readonly network: string; readonly since: string; readonly until: string };
  readonly views: readonly View[];
}

// Selection is what the address line of the browser keeps (#at=...&ip=...), and what all parts of the page follow.
export interface Selection {
  readonly view: number; // index into Report.views
  readonly at: Instant;
  readonly ip: string; // "" if none is chosen
  readonly lease: number; // of that address: index into Leases; -1 if none is chosen
  readonly net: string; // what is zoomed in to, a CIDR; "" if all addresses are shown
  readonly query: string; // of the search; "" if there is none
  readonly zone: string; // that times are shown in besides UTC: an IANA name, or "UTC"
  readonly colour: "state" | "age" | "churn";
}

// Page is what the parts share. set changes a part of the selection and tells all listeners once, in the order in which they came.
export interface Page {
  readonly report: Report;
  readonly selection: Selection;
  readonly moment: Moment; // of the selection's view, at its instant
  set(change: Partial<Selection>): void;
  listen(changed: (now: Selection, before: Selection) => void): void;
  say(text: string): void; // to a screen reader
}
