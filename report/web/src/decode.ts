// The report from the page's data. docs/FORMAT.md describes the bytes.

import { AddressList } from "./address.ts";
import { Column, DataError, fromBase64, gunzip, utf8Text } from "./bytes.ts";
import { fillRuns, indexOf, instantOf, readHeader, type At as AtData, type MoreData, type ViewData, type WindowsData } from "./header.ts";
import { add, compare, format } from "./instant.ts";
import { Kind, reasons } from "./kinds.ts";
import { At, type Source } from "./moment.ts";
import { stretchesOf } from "./stretches.ts";
import { transitionBound, transitionsOf } from "./transitions.ts";
import type { Boot, Certainty, Containers, Events, Instant, Journal, Lease, Leases, Moment, Phase, Pods, Range, Report, Stretch, Times, View } from "./types.ts";
import { Course } from "./unheld.ts";
import { before, Spans, type Window } from "./windows.ts";

export { DataError } from "./bytes.ts";

const certainties = ["certain", "uncertain", "unknown"] as const;

// Bits of l.flags.
const flagExplicit = 1;
const flagThroughout = 2;
const flagImport = 4;
const flagLost = 8;
const flagDoubtful = 16;
const flagMore = 32;
const certaintyShift = 6;

// Bits of windows in w.
const windowUnsure = 1;
const windowPartly = 2;
const windowUse = 4;

// open reads the report that the page holds.
export async function open(document: Document): Promise<Report> {
  const data = document.getElementById("leaselog-data");
  if (data === null) throw new DataError("read the page's data: the page has none");
  return decode(await gunzip(fromBase64(data.textContent ?? "")));
}

// decode reads a report from its unpacked bytes, which it keeps.
export function decode(bytes: Uint8Array): Report {
  const { header, rest } = readHeader(bytes);
  return { version: header.version, made: header.made, asked: header.asked, views: header.views.map((v) => new ViewOf(v, rest)) };
}

// Columns gives out the columns of a view.
class Columns {
  private readonly view: ViewData;
  private readonly rest: Uint8Array;

  constructor(view: ViewData, rest: Uint8Array) {
    this.view = view;
    this.rest = rest;
  }

  // bytes returns a column's bytes; one that isn't named has none.
  bytes(name: string): Uint8Array {
    const [offset, length] = this.view.columns[name] ?? [0, 0];
    if (!Number.isInteger(offset) || !Number.isInteger(length) || offset < 0 || length < 0 || offset + length > this.rest.length) {
      throw new DataError(`read column ${name} of the page's data: it ends behind the data: the page is cut short`);
    }
    return this.rest.subarray(offset, offset + length);
  }

  of(name: string): Column {
    return new Column(name, this.bytes(name));
  }

  // u8 returns a column of so many single bytes.
  u8(name: string, count: number): Uint8Array {
    const bytes = this.bytes(name);
    if (bytes.length !== count) throw new DataError(`read column ${name} of the page's data: it has ${bytes.length} bytes, want ${count}`);
    return bytes;
  }

  json<T>(name: string): T[] {
    const bytes = this.bytes(name);
    if (bytes.length === 0) return [];
    try {
      return JSON.parse(utf8Text(bytes));
    } catch (err) {
      throw new DataError(`read column ${name} of the page's data: ${err instanceof Error ? err.message : err}`);
    }
  }
}

function newTimes(count: number): Times {
  return { ms: new Float64Array(count), ns: new Uint32Array(count) };
}

function timeOf(times: Times, index: number): Instant {
  return { ms: times.ms[index], ns: times.ns[index] };
}

function decodeEvents(view: ViewData, columns: Columns): Events {
  const { count, first, last } = view.events;
  const seq = new Float64Array(count);
  const effective = newTimes(count);
  const kind = columns.u8("e.kind", count);
  const code = new Uint32Array(count);
  const journal = new Uint16Array(count);
  fillRuns(view.event_runs.journal, journal, view.journals.length, "journal");
  const [seqs, codes, ms, ns] = [columns.of("e.seq"), columns.of("e.code"), columns.of("e.ms"), columns.of("e.ns")];
  for (let i = 0, s = 0, at = 0; i < count; i++) {
    if (i > 0 && journal[i] !== journal[i - 1]) s = 0; // each journal counts from 1
    seq[i] = s += seqs.uvarint();
    effective.ms[i] = at += ms.zigzag();
    const n = ns.u24();
    if (n >= 1e6) ns.fail(`${n} is no rest of a millisecond`);
    effective.ns[i] = n;
    if (kind[i] === Kind.refuse) code[i] = codes.below(2 ** 32, "error code");
  }
  for (const c of [seqs, codes, ms, ns]) c.done();
  const boot = new Uint16Array(count);
  fillRuns(view.event_runs.boot, boot, view.boots.length, "boot");
  if (first < 0 || last >= count) throw new DataError(`read the page's data: events ${first} to ${last} are not there`);
  return { count, seq, kind, code, effective, recorded: decodeRecorded(effective, columns), journal, boot, first, last };
}

// decodeRecorded adds to each effective time by how much the wall clock was off.
function decodeRecorded(effective: Times, columns: Columns): Times {
  const count = effective.ms.length;
  const recorded = newTimes(count);
  const [offMs, offNs] = [columns.of("e.offms"), columns.of("e.offns")];
  for (let i = 0, addMs = 0, addNs = 0; i < count; i++) {
    addMs += offMs.zigzag();
    addNs += offNs.zigzag();
    if (addNs < 0 || addNs >= 1e6) offNs.fail(`${addNs} is no rest of a millisecond`);
    const ns = effective.ns[i] + addNs;
    const carry = ns >= 1e6 ? 1 : 0;
    recorded.ms[i] = effective.ms[i] + addMs + carry;
    recorded.ns[i] = ns - carry * 1e6;
  }
  offMs.done();
  offNs.done();
  return recorded;
}

const hexDigits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

// ContainerList has the container IDs as bytes: most are never looked at.
class ContainerList implements Containers {
  readonly count: number;
  private readonly form: Uint8Array;
  private readonly offset: Uint32Array;
  private readonly digits: Column;
  private readonly texts: Column;

  constructor(count: number, columns: Columns) {
    this.count = count;
    this.digits = columns.of("i.bytes");
    this.texts = columns.of("i.text");
    const form = columns.bytes("i.form");
    this.form = form.length === 1 ? new Uint8Array(count).fill(form[0]) : columns.u8("i.form", count);
    this.offset = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const f = this.form[i];
      if (f > 2) throw new DataError(`read column i.form of the page's data: there is no form ${f}`);
      this.offset[i] = f === 0 ? this.texts.take(0) : this.digits.take(f === 1 ? 32 : 8);
      if (f === 0) this.texts.take(this.texts.uvarint());
    }
    this.digits.done();
    this.texts.done();
  }

  text(index: number): string {
    const [form, offset] = [this.form[index], this.offset[index]];
    if (form === 0) return this.texts.textAt(offset);
    let text = "";
    for (const byte of this.digits.part(offset, form === 1 ? 32 : 8)) text += hexDigits[byte];
    return text;
  }

  shortened(index: number): boolean {
    return this.form[index] === 2;
  }
}

class PodList implements Pods {
  readonly count: number;
  private readonly texts: readonly string[];
  private readonly namespaces: Uint32Array;
  private readonly ends: Uint32Array;
  private readonly names: Column;

  constructor(count: number, view: ViewData, columns: Columns) {
    this.count = count;
    this.texts = view.texts;
    this.namespaces = new Uint32Array(count);
    this.ends = new Uint32Array(count);
    this.names = columns.of("p.bytes");
    const [ns, lengths] = [columns.of("p.ns"), columns.of("p.name")];
    for (let i = 0, at = 0; i < count; i++) {
      this.namespaces[i] = ns.below(view.texts.length, "text");
      const length = lengths.uvarint();
      this.names.take(length);
      this.ends[i] = at += length;
    }
    for (const c of [ns, lengths, this.names]) c.done();
  }

  namespace(index: number): string {
    return this.texts[this.namespaces[index]];
  }

  podName(index: number): string {
    const begin = index === 0 ? 0 : this.ends[index - 1];
    return utf8Text(this.names.part(begin, this.ends[index] - begin));
  }
}

// LeaseList is the leases of a view.
class LeaseList implements Leases {
  readonly count: number;
  readonly address: Uint32Array;
  readonly start: Uint32Array;
  readonly end: Int32Array;
  readonly doubtful: Int32Array;
  readonly reason: Uint8Array;
  readonly container: Uint32Array;
  readonly pod: Int32Array;
  readonly flags: Uint8Array;
  readonly containers: ContainerList;
  readonly pods: PodList;
  private readonly doubts: Uint32Array; // 1 + index into the header's doubt_sets, 0 none
  private readonly file: Uint32Array;
  private readonly ifname: Uint32Array;
  private readonly more: ReadonlyMap<number, MoreData>;
  private readonly view: ViewData;
  private readonly events: Events;
  private readonly addresses: AddressList;

  constructor(view: ViewData, columns: Columns, events: Events, addresses: AddressList) {
    const count = (this.count = view.leases);
    this.view = view;
    this.events = events;
    this.addresses = addresses;
    this.address = new Uint32Array(count);
    this.start = new Uint32Array(count);
    this.end = new Int32Array(count).fill(-1);
    this.doubtful = new Int32Array(count).fill(-1);
    this.reason = new Uint8Array(count);
    this.flags = columns.u8("l.flags", count);
    this.doubts = new Uint32Array(count);
    this.readEvents(columns);
    this.container = new Uint32Array(count);
    this.pod = new Int32Array(count).fill(-1);
    const owners = this.readOwners(columns);
    if (owners.containers !== view.ids || owners.pods !== view.pods) {
      throw new DataError(`read the page's data: it has ${owners.containers} container IDs and ${owners.pods} pods, its header ${view.ids} and ${view.pods}`);
    }
    this.containers = new ContainerList(owners.containers, columns);
    this.pods = new PodList(owners.pods, view, columns);
    this.file = new Uint32Array(count);
    fillRuns(view.file_runs, this.file, view.texts.length, "text of a file");
    this.ifname = new Uint32Array(count);
    fillRuns(view.ifname_runs, this.ifname, view.texts.length, "text of an interface");
    this.more = new Map(columns.json<MoreData>("l.more").map((m) => [indexOf(m.lease, count, "lease"), m]));
    for (let i = 0; i < count; i++) {
      if ((this.flags[i] & flagMore) !== 0 && !this.more.has(i)) throw new DataError(`read column l.more of the page's data: lease ${i} is missing`);
    }
  }

  // readEvents reads what events say of each lease.
  private readEvents(columns: Columns): void {
    const names = ["l.start", "l.end", "l.address", "l.doubtful", "l.reason", "l.doubts"];
    const all = names.map((name) => columns.of(name));
    const [starts, ends, addresses, doubtfuls, reasonsOf, doubts] = all;
    const events = this.events.count;
    for (let i = 0, start = 0, address = 0; i < this.count; i++) {
      start += starts.uvarint();
      if (start >= events) starts.fail(`event ${start} is not there`);
      this.start[i] = start;
      const length = ends.uvarint();
      if (length > 0) {
        if (start + length - 1 >= events) ends.fail(`event ${start + length - 1} is not there`);
        this.end[i] = start + length - 1;
        const reason = reasonsOf.u8();
        if (reason >= reasons.length) reasonsOf.fail(`there is no reason ${reason}`);
        this.reason[i] = reason;
      }
      address += addresses.zigzag();
      if (address < 0 || address >= this.addresses.count) addresses.fail(`address ${address} is not there`);
      this.address[i] = address;
      if ((this.flags[i] & flagDoubtful) !== 0) this.doubtful[i] = start + doubtfuls.below(events - start, "event");
      this.doubts[i] = doubts.below(this.view.doubt_sets.length + 1, "set of doubts");
      if (this.flags[i] >> certaintyShift === 3) throw new DataError("read column l.flags of the page's data: there is no certainty 3");
    }
    for (const c of all) c.done();
  }

  private readOwners(columns: Columns): { containers: number; pods: number } {
    const [ids, ofPods] = [columns.of("l.id"), columns.of("l.pod")];
    let [containers, pods] = [0, 0];
    for (let i = 0; i < this.count; i++) {
      const back = ids.below(i + 1, "the lease before by");
      this.container[i] = back === 0 ? containers++ : this.container[i - back];
      const pod = ofPods.below(i + 3, "the pod of the lease before by");
      if (pod === 2 && back === 0) ofPods.fail(`lease ${i} has no container before it`);
      if (pod === 1) this.pod[i] = pods++;
      else if (pod > 0) this.pod[i] = this.pod[i - (pod === 2 ? back : pod - 2)];
    }
    ids.done();
    ofPods.done();
    return { containers, pods };
  }

  of(lease: number): Lease {
    const { events, view } = this;
    const [start, end, pod, doubtful] = [this.start[lease], this.end[lease], this.pod[lease], this.doubtful[lease]];
    const text = (i: number) => view.texts[indexOf(i, view.texts.length, "text")];
    const more = this.more.get(lease);
    const flags = this.flags[lease];
    return {
      address: this.addresses.text(this.address[lease]),
      containerID: this.containers.text(this.container[lease]),
      shortened: this.containers.shortened(this.container[lease]),
      ifname: text(this.ifname[lease]),
      podNamespace: pod < 0 ? "" : this.pods.namespace(pod),
      podName: pod < 0 ? "" : this.pods.podName(pod),
      origin: (flags & flagImport) !== 0 ? "import" : "cni",
      startSeq: events.seq[start],
      start: timeOf(events.effective, start),
      startRecorded: timeOf(events.recorded, start),
      endSeq: end < 0 ? 0 : events.seq[end],
      end: end < 0 ? null : timeOf(events.effective, end),
      endRecorded: end < 0 ? null : timeOf(events.recorded, end),
      reason: reasons[this.reason[lease]],
      text: more?.text === undefined ? "" : text(more.text),
      lost: (flags & flagLost) !== 0,
      windowStart: doubtful < 0 ? null : timeOf(events.effective, doubtful),
      certainty: certainties[flags >> certaintyShift],
      doubts: this.filled(lease, this.setOf(lease).all),
      file: text(this.file[lease]),
      lastSeq: more?.last_seq ?? (end < 0 ? view.journals[events.journal[start]].last_seq : events.seq[end]),
      journal: events.journal[start],
      live: view.journals[events.journal[start]].live,
    };
  }

  then(lease: number, use: boolean): readonly string[] {
    const set = this.setOf(lease);
    const then = this.filled(lease, set.then ?? set.all);
    return use ? then : then.filter((_, i) => i + 1 !== set.use);
  }

  private setOf(lease: number): ViewData["doubt_sets"][number] {
    return this.doubts[lease] === 0 ? { all: [] } : this.view.doubt_sets[this.doubts[lease] - 1];
  }

  // filled returns doubts of a lease. The page has one text for many leases, without their numbers and times.
  private filled(lease: number, set: readonly number[]): readonly string[] {
    const { events, view } = this;
    const seq = (event: number) => (event < 0 ? "?" : String(events.seq[event]));
    const filled: Record<string, () => string> = {
      s: () => seq(this.start[lease]),
      e: () => seq(this.end[lease]),
      w: () => seq(this.doubtful[lease]),
      t: () => (this.doubtful[lease] < 0 ? "?" : format(timeOf(events.effective, this.doubtful[lease]))),
      "0": () => "\0",
    };
    return set.map((i) =>
      view.texts[indexOf(i, view.texts.length, "text")].replace(/\0(.?)/gs, (_, what: string) => {
        if (filled[what] === undefined) throw new DataError(`read the doubts of lease ${lease} of the page's data: there is nothing to fill in for ${JSON.stringify(what)}`);
        return filled[what]();
      }),
    );
  }
}

function windowsOf(data: WindowsData[], leases: LeaseList): Map<number, Window[]> {
  const all = new Map<number, Window[]>();
  const edge = (at: AtData | null, open: number) => (at === null ? { ms: open, ns: 0 } : instantOf(at));
  for (const { lease, windows } of data) {
    const list = windows.map(([fromData, toData, flags]) => {
      const [from, to] = [edge(fromData, -Infinity), edge(toData, Infinity)];
      if (!before(from.ms, from.ns, to.ms, to.ns)) throw new DataError(`read column w of the page's data: a window of lease ${lease} ends before it begins`);
      return { fromMs: from.ms, fromNs: from.ns, toMs: to.ms, toNs: to.ns, unsure: (flags & windowUnsure) !== 0, partly: (flags & windowPartly) !== 0, use: (flags & windowUse) !== 0 };
    });
    all.set(indexOf(lease, leases.count, "lease"), list);
  }
  leases.flags.forEach((flags, i) => {
    if (((flags & flagExplicit) !== 0) !== all.has(i)) throw new DataError(`read column w of the page's data: lease ${i} is missing, or too much`);
  });
  return all;
}

class ViewOf implements View {
  readonly network: string;
  readonly node: string;
  readonly journals: readonly Journal[];
  readonly boots: readonly Boot[];
  readonly from: Instant;
  readonly to: Instant;
  readonly covered: Instant | null;
  readonly certainty: Certainty;
  readonly doubts: readonly string[];
  readonly ranges: readonly Range[];
  readonly phases: readonly Phase[];
  readonly containers: Containers;
  readonly pods: Pods;
  readonly events: Events;
  readonly leases: LeaseList;
  readonly addresses: AddressList;
  private readonly known: Course;
  private readonly spans: Spans;
  private readonly bound: number; // of transitions
  private source: Source | null = null;

  constructor(view: ViewData, rest: Uint8Array) {
    const columns = new Columns(view, rest);
    this.network = view.network;
    this.node = view.node;
    this.journals = view.journals.map((j) => ({
      id: j.id, node: j.node, dir: j.dir, firstSeq: j.first_seq, lastSeq: j.last_seq, firstTime: j.first_time, lastTime: j.last_time, live: j.live,
    }));
    this.boots = view.boots.map((b) => ({ id: b.id, maxError: b.max_error_ns, synced: b.synced }));
    this.from = instantOf(view.from);
    this.to = instantOf(view.to);
    this.covered = view.covered === null ? null : instantOf(view.covered);
    this.certainty = view.certainty;
    this.doubts = view.doubts;
    this.ranges = view.ranges;
    this.events = decodeEvents(view, columns);
    this.addresses = new AddressList(view.addresses, view.addresses4, columns.of("a.v4"), columns.of("a.v6"));
    this.leases = new LeaseList(view, columns, this.events, this.addresses);
    this.addresses.setLeases(this.leases.address);
    this.containers = this.leases.containers;
    this.pods = this.leases.pods;
    this.known = new Course(view, this.addresses);
    this.phases = this.known.phases();
    const { start, end, doubtful, flags } = this.leases;
    const explicit = windowsOf(columns.json("w"), this.leases);
    this.bound = transitionBound(view.leases, explicit);
    const open = view.open_to === null ? { ms: Infinity, ns: 0 } : instantOf(view.open_to);
    const told = this.covered === null ? open : add(this.covered, 1);
    this.spans = new Spans({
      events: this.events, errors: view.boots.map((b) => b.max_error_ns), start, end, doubtful, explicit,
      throughout: (lease) => (flags[lease] & flagThroughout) !== 0,
      told: compare(told, open) < 0 ? told : open,
      open,
    });
  }

  at(): Moment {
    return new At(this.sources(), this.from);
  }

  course(address: string): readonly Stretch[] {
    return stretchesOf(this.sources(), address);
  }

  // sources are made when a state is asked for first.
  private sources(): Source {
    const { leases, addresses, spans, known: course } = this;
    this.source ??= { view: this, leases, addresses, spans, course, transitions: transitionsOf(addresses, spans, this.bound) };
    return this.source;
  }
}
