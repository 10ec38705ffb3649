// Makes the page's data from views that tests write down. It is slow and plain, as package report is not.

import { parseAddress } from "../src/address.ts";
import type { At, HeaderData, MoreData, RowData, ViewData, WindowsData } from "../src/header.ts";

export interface EventMade {
  seq: number;
  kind: number;
  code?: number;
  effective: bigint; // nanoseconds since 1970
  recorded?: bigint; // as effective
  journal?: number;
  boot?: number;
}

export interface LeaseMade {
  address: string;
  start: number;
  end?: number;
  doubtful?: number;
  reason?: number;
  flags?: number; // but those that follow from the rest
  certainty?: number;
  container?: string; // 64 digits: form 1; "short:" and 16 digits: form 2; else form 0
  pod?: [namespace: string, name: string];
  doubts?: string[];
  then?: string[]; // as doubts
  use?: number; // 1 + which of then is said only where its use is in doubt
  text?: string;
  lastSeq?: number;
  file?: string;
  ifname?: string;
  windows?: [from: bigint | null, to: bigint | null, unsure: boolean, partly?: boolean, use?: boolean][];
}

export interface ViewMade extends Partial<ViewData> {
  made: { events: EventMade[]; leases: LeaseMade[]; addresses?: string[] };
}

// at splits nanoseconds since 1970 as the page does.
export function at(ns: bigint): At {
  const rest = ((ns % 1_000_000n) + 1_000_000n) % 1_000_000n;
  return [Number((ns - rest) / 1_000_000n), Number(rest)];
}

class Bytes {
  all: number[] = [];
  uvarint(n: number | bigint): void {
    let value = BigInt(n);
    for (; value >= 0x80n; value >>= 7n) this.all.push(Number(value & 0x7fn) | 0x80);
    this.all.push(Number(value));
  }
  zigzag(n: number | bigint): void {
    const value = BigInt(n);
    this.uvarint(value < 0n ? -2n * value - 1n : 2n * value);
  }
  bytes(of: Iterable<number>): void {
    this.all.push(...of);
  }
}

const utf8 = (text: string) => new TextEncoder().encode(text);
const hex = (digits: string) => digits.match(/../g)!.map((d) => parseInt(d, 16));
const key = (address: string) => (address.includes(":") ? "6" : "4") + Array.from(parseAddress(address)!, (b) => String.fromCharCode(b)).join("");

class Encoder {
  readonly texts: string[] = [""];
  readonly columns = new Map<string, Bytes>();

  text(t: string): number {
    if (!this.texts.includes(t)) this.texts.push(t);
    return this.texts.indexOf(t);
  }

  column(name: string): Bytes {
    if (!this.columns.has(name)) this.columns.set(name, new Bytes());
    return this.columns.get(name)!;
  }

  events(events: EventMade[]): void {
    let [seq, ms, offMs, offNs, journal] = [0, 0, 0, 0, 0];
    for (const e of events) {
      if ((e.journal ?? 0) !== journal) [seq, journal] = [0, e.journal ?? 0];
      this.column("e.seq").uvarint(e.seq - seq);
      seq = e.seq;
      this.column("e.kind").bytes([e.kind]);
      if (e.kind === 3) this.column("e.code").uvarint(e.code ?? 0);
      const [m, n] = at(e.effective);
      this.column("e.ms").zigzag(m - ms);
      this.column("e.ns").bytes([n & 255, (n >> 8) & 255, n >> 16]);
      ms = m;
      const [q, r] = at((e.recorded ?? e.effective) - e.effective);
      this.column("e.offms").zigzag(q - offMs);
      this.column("e.offns").zigzag(r - offNs);
      [offMs, offNs] = [q, r];
    }
  }

  leases(leases: LeaseMade[], addresses: string[], sets: ViewData["doubt_sets"]): { more: MoreData[]; windows: WindowsData[]; ids: number; pods: number } {
    let [start, address, ids, pods] = [0, 0, 0, 0];
    const [more, windows]: [MoreData[], WindowsData[]] = [[], []];
    leases.forEach((l, i) => {
      this.column("l.start").uvarint(l.start - start);
      start = l.start;
      this.column("l.end").uvarint(l.end === undefined ? 0 : l.end - l.start + 1);
      if (l.end !== undefined) this.column("l.reason").bytes([l.reason ?? 1]);
      this.column("l.address").zigzag(addresses.indexOf(l.address) - address);
      address = addresses.indexOf(l.address);
      if (l.doubtful !== undefined) this.column("l.doubtful").uvarint(l.doubtful - l.start);
      const isMore = l.text !== undefined || l.lastSeq !== undefined;
      if (isMore) more.push({ lease: i, ...(l.text === undefined ? {} : { text: this.text(l.text) }), ...(l.lastSeq === undefined ? {} : { last_seq: l.lastSeq }) });
      if (l.windows) {
        const edge = (ns: bigint | null) => (ns === null ? null : at(ns));
        windows.push({ lease: i, windows: l.windows.map(([from, to, ...flags]) => [edge(from), edge(to), flags.reduce((sum, is, bit) => sum + (is ? 1 << bit : 0), 0)]) });
      }
      const flags = (l.flags ?? 0) | (l.windows ? 1 : 0) | (l.doubtful !== undefined ? 16 : 0) | (isMore ? 32 : 0) | ((l.certainty ?? 0) << 6);
      this.column("l.flags").bytes([flags]);
      const texts = (list?: string[]) => list?.map((d) => this.text(d));
      if (l.doubts) sets.push({ all: texts(l.doubts)!, then: texts(l.then), use: l.use });
      this.column("l.doubts").uvarint(l.doubts ? sets.length : 0);
      const container = l.container ?? "c";
      const same = leases.slice(0, i).findLastIndex((o) => (o.container ?? "c") === container);
      this.column("l.id").uvarint(same < 0 ? 0 : i - same);
      if (same < 0) this.container(container, ids++);
      if (l.pod === undefined) this.column("l.pod").uvarint(0);
      else if (same >= 0 && String(leases[same].pod) === String(l.pod)) this.column("l.pod").uvarint(2);
      else {
        const before = leases.slice(0, i).findLastIndex((o) => String(o.pod) === String(l.pod));
        this.column("l.pod").uvarint(before < 0 ? 1 : i - before + 2);
        if (before < 0) this.pod(l.pod, pods++);
      }
    });
    return { more, windows, ids, pods };
  }

  container(id: string, _index: number): void {
    const form = /^[0-9a-f]{64}$/.test(id) ? 1 : id.startsWith("short:") ? 2 : 0;
    this.column("i.form").bytes([form]);
    if (form === 0) {
      this.column("i.text").uvarint(utf8(id).length);
      this.column("i.text").bytes(utf8(id));
    } else this.column("i.bytes").bytes(hex(id.replace("short:", "")));
  }

  pod([namespace, name]: [string, string], _index: number): void {
    this.column("p.ns").uvarint(this.text(namespace));
    this.column("p.name").uvarint(utf8(name).length);
    this.column("p.bytes").bytes(utf8(name));
  }

  runs(values: number[]): [number, number][] {
    return values.flatMap((v, i): [number, number][] => (i > 0 && values[i - 1] === v ? [] : [[i, v]]));
  }
}

export const row: RowData = { from: null, unknown: [], candidates: [0], possible: [], maybe: [], certainty: "certain", doubts: [], open: false };

// encode returns the page's data. rows and own name texts by their index in texts, which stay at the beginning.
export function encode(views: ViewMade[], header: Partial<HeaderData> = {}): Uint8Array {
  const rest: number[] = [];
  const encoded = views.map(({ made, ...given }): ViewData => {
    const e = new Encoder();
    e.texts.push(...(given.texts ?? []).slice(1));
    const order = (x: string, y: string) => (key(x) < key(y) ? -1 : 1);
    const addresses = [...new Set([...made.leases.map((l) => l.address), ...(made.addresses ?? [])])].sort(order);
    let v4 = 0;
    for (const a of addresses) {
      if (a.includes(":")) {
        e.column("a.v6").bytes(parseAddress(a)!);
        continue;
      }
      const n = parseAddress(a)!.reduce((sum, b) => sum * 256 + b, 0);
      e.column("a.v4").uvarint(n - v4);
      v4 = n;
    }
    e.events(made.events);
    const sets: ViewData["doubt_sets"] = [];
    const { more, windows, ids, pods } = e.leases(made.leases, addresses, sets);
    if (more.length > 0) e.column("l.more").bytes(utf8(JSON.stringify(more)));
    if (windows.length > 0) e.column("w").bytes(utf8(JSON.stringify(windows)));
    const files = e.runs(made.leases.map((l) => e.text(l.file ?? "journal/1")));
    const ifnames = e.runs(made.leases.map((l) => e.text(l.ifname ?? "eth0")));
    const columns: ViewData["columns"] = {};
    for (const [name, { all }] of e.columns) {
      columns[name] = [rest.length, all.length];
      rest.push(...all);
    }
    return {
      network: "cbr0", node: "n1",
      journals: [{ id: "j1", node: "n1", dir: "/j", first_seq: 1, last_seq: 99, first_time: "", last_time: "", live: false }],
      boots: [{ id: "b1", max_error_ns: 0, synced: true }],
      from: [0, 0], to: [1_000_000, 0], covered: [1_000_000, 0], open_to: null, certainty: "certain", doubts: [],
      ranges: [{ start: "10.0.0.2", end: "10.0.0.254", subnet: "10.0.0.0/24", gateway: "10.0.0.1" }],
      changes: [{ known: true, partial: false, ranges: [0] }],
      steps: [], rows: [row], own: [],
      events: { count: made.events.length, first: 0, last: made.events.length - 1 },
      leases: made.leases.length, addresses: addresses.length, addresses4: addresses.filter((a) => !a.includes(":")).length,
      event_runs: { journal: e.runs(made.events.map((ev) => ev.journal ?? 0)), boot: e.runs(made.events.map((ev) => ev.boot ?? 0)) },
      file_runs: files, ifname_runs: ifnames, ids, pods, doubt_sets: sets,
      ...given, texts: e.texts, columns,
    };
  });
  const asked = { data_dir: "/d", network: "", since: "", until: "" };
  const json = utf8(JSON.stringify({ schema: "leaselog.page/1", version: "v1", made: "2026-11-03T14:05:00.000000000Z", asked, views: encoded, ...header }));
  const length = [json.length & 255, (json.length >> 8) & 255, (json.length >> 16) & 255, json.length >>> 24];
  return Uint8Array.from([...utf8("LLR1"), ...length, ...json, ...rest]);
}
