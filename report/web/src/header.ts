// The header of the page's data, as docs/FORMAT.md describes it, and what is checked of it.

import { DataError } from "./bytes.ts";
import type { Certainty, Instant, Range, Report } from "./types.ts";

export type At = [ms: number, ns: number];
export type Runs = [from: number, value: number][];

export interface RowData {
  from: At | null;
  general?: boolean;
  unknown: number[];
  candidates: number[];
  possible: number[];
  maybe: number[];
  certainty: Certainty;
  doubts: number[];
  steps?: [first: number, behind: number];
  open: boolean;
}

export interface ViewData {
  network: string;
  node: string;
  journals: { id: string; node: string; dir: string; first_seq: number; last_seq: number; first_time: string; last_time: string; live: boolean }[];
  boots: { id: string; max_error_ns: number; synced: boolean }[];
  from: At;
  to: At;
  covered: At | null;
  open_to: At | null;
  certainty: Certainty;
  doubts: string[];
  texts: string[];
  ranges: Range[];
  changes: { known: boolean; partial: boolean; ranges: number[] }[];
  steps: { seq: number; doubt: number }[];
  rows: RowData[];
  own: { address: number; rows: RowData[] }[];
  events: { count: number; first: number; last: number };
  leases: number;
  addresses: number;
  addresses4: number;
  event_runs: { journal: Runs; boot: Runs };
  file_runs: Runs;
  ifname_runs: Runs;
  ids: number; // new container IDs
  pods: number; // new pods
  doubt_sets: { all: number[]; then?: number[]; use?: number }[];
  columns: Record<string, [offset: number, length: number]>;
}

export interface HeaderData {
  schema: string;
  version: string;
  made: string;
  asked: Report["asked"];
  views: ViewData[];
}

export interface MoreData {
  lease: number;
  text?: number;
  last_seq?: number;
}

export interface WindowsData {
  lease: number;
  windows: [from: At | null, to: At | null, flags: number][];
}

const schema = "leaselog.page/1";

// readHeader returns the header and the bytes behind it.
export function readHeader(bytes: Uint8Array): { header: HeaderData; rest: Uint8Array } {
  const magic = [0x4c, 0x4c, 0x52, 0x31]; // LLR1
  if (magic.some((byte, i) => bytes[i] !== byte)) throw new DataError("read the page's data: it is none of leasectl report");
  const length = bytes.length < 8 ? Infinity : new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
  if (length > bytes.length - 8) throw new DataError("read the page's data: it ends within its header");
  let header: HeaderData;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(8, 8 + length)));
  } catch (err) {
    throw new DataError(`read the header of the page's data: ${err instanceof Error ? err.message : err}`);
  }
  if (!`${header?.schema}.`.startsWith(`${schema}.`)) {
    throw new DataError(`read the header of the page's data: it is of schema ${header?.schema}, and this page reads ${schema}`);
  }
  if (!Array.isArray(header.views) || header.views.length === 0) throw new DataError("read the header of the page's data: no network is in it");
  return { header, rest: bytes.subarray(8 + length) };
}

// instantOf checks an instant.
export function instantOf(at: At): Instant {
  const [ms, ns] = Array.isArray(at) ? at : [];
  if (!Number.isSafeInteger(ms) || !Number.isInteger(ns) || ns! < 0 || ns! > 999_999) {
    throw new DataError(`read the page's data: ${JSON.stringify(at)} is no instant`);
  }
  return { ms: ms!, ns: ns! };
}

// indexOf checks an index into a list of so many elements.
export function indexOf(index: number, count: number, of: string): number {
  if (!Number.isInteger(index) || index < 0 || index >= count) throw new DataError(`read the page's data: ${of} ${index} is not there`);
  return index;
}

// fillRuns writes the value of each run from its index on.
export function fillRuns(runs: Runs | undefined, values: Uint16Array | Uint32Array, limit: number, of: string): void {
  let before = -1;
  for (const [from, value] of runs ?? []) {
    if (from <= before || (before < 0 && from !== 0)) throw new DataError(`read the page's data: the runs of ${of} are not in order`);
    values.fill(indexOf(value, limit, of), from);
    before = from;
  }
  if (before < 0 && values.length > 0) throw new DataError(`read the page's data: no run of ${of} is there`);
}
