// IP addresses as text, and the sorted list of those that were leased.

import { Column } from "./bytes.ts";
import type { Addresses } from "./types.ts";

// Parsed is an address as 4 or 16 bytes, most significant first.
export type Parsed = Uint8Array;

const longest = 45; // characters of an IPv6 address that ends as IPv4 does

// parseAddress reads an address as leasectl prints it, or as people may write it. It returns null for what is none, for
// IPv4 within IPv6 and for an address with a zone: a journal has neither.
export function parseAddress(text: string): Parsed | null {
  if (text.length > longest) return null;
  return text.includes(":") ? parse6(text) : parse4(text);
}

function parse4(text: string): Parsed | null {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((p) => /^(?:0|[1-9]\d{0,2})$/.test(p) && Number(p) < 256)) return null;
  return Uint8Array.from(parts, Number);
}

function parse6(text: string): Parsed | null {
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (tail !== null) {
    const b = parse4(tail[2]);
    if (b === null) return null;
    text = tail[1] + ((b[0] << 8) | b[1]).toString(16) + ":" + ((b[2] << 8) | b[3]).toString(16);
  }
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const groups = halves.map((half) => (half === "" ? [] : half.split(":")));
  if (!groups.flat().every((g) => /^[0-9a-fA-F]{1,4}$/.test(g))) return null;
  const missing = 8 - groups.flat().length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null;
  const all = halves.length === 1 ? groups[0] : [...groups[0], ...Array<string>(missing).fill("0"), ...groups[1]];
  const bytes = new Uint8Array(16);
  all.forEach((g, i) => {
    const value = parseInt(g, 16);
    bytes[2 * i] = value >> 8;
    bytes[2 * i + 1] = value;
  });
  return bytes.subarray(0, 10).every((b) => b === 0) && bytes[10] === 0xff && bytes[11] === 0xff ? null : bytes;
}

// formatAddress writes an address as leasectl does: RFC 5952.
export function formatAddress(a: Parsed): string {
  if (a.length === 4) return a.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => (a[2 * i] << 8) | a[2 * i + 1]);
  let [begin, end] = [-1, -1]; // the longest row of zeros
  for (let i = 0; i < 8; i++) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i >= 2 && j - i > end - begin) [begin, end] = [i, j];
  }
  const text = (part: number[]) => part.map((g) => g.toString(16)).join(":");
  return begin < 0 ? text(groups) : text(groups.slice(0, begin)) + "::" + text(groups.slice(end));
}

// compareAddresses orders as the page does: IPv4 before IPv6.
export function compareAddresses(a: Parsed, b: Parsed): number {
  if (a.length !== b.length) return a.length - b.length;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return 0;
}

// AddressList is the list of the page's addresses. The leases of each are set once they are read.
export class AddressList implements Addresses {
  readonly count: number;
  private readonly v4: Uint32Array;
  private readonly v6: Uint8Array;
  private offsets = new Uint32Array(0);
  private order = new Uint32Array(0);

  constructor(count: number, count4: number, v4: Column, v6: Column) {
    this.count = count;
    this.v4 = new Uint32Array(count4);
    for (let i = 0, at = 0; i < count4; i++) {
      at += v4.uvarint();
      if (at > 0xffffffff) v4.fail(`address ${i} is beyond IPv4`);
      this.v4[i] = at;
    }
    v4.done();
    const bytes = (count - count4) * 16;
    this.v6 = v6.part(v6.take(bytes), bytes);
    v6.done();
  }

  // setLeases sorts the leases by address. Those of each stay in the order in which they are.
  setLeases(address: Uint32Array): void {
    const offsets = new Uint32Array(this.count + 1);
    for (const a of address) offsets[a + 1]++;
    for (let i = 0; i < this.count; i++) offsets[i + 1] += offsets[i];
    const next = offsets.slice();
    this.order = new Uint32Array(address.length);
    for (let i = 0; i < address.length; i++) this.order[next[address[i]]++] = i;
    this.offsets = offsets;
  }

  leases(index: number): Uint32Array {
    return this.order.subarray(this.offsets[index], this.offsets[index + 1]);
  }

  is4(index: number): boolean {
    return index < this.v4.length;
  }

  bytes(index: number): Parsed {
    if (index < this.v4.length) {
      const n = this.v4[index];
      return Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n);
    }
    const at = (index - this.v4.length) * 16;
    return this.v6.subarray(at, at + 16);
  }

  text(index: number): string {
    if (index >= this.v4.length) return formatAddress(this.bytes(index));
    const n = this.v4[index];
    return `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}`;
  }

  value(index: number): bigint {
    if (index < this.v4.length) return BigInt(this.v4[index]);
    return this.bytes(index).reduce((n, byte) => (n << 8n) | BigInt(byte), 0n);
  }

  find(address: string): number {
    const a = parseAddress(address);
    return a === null ? -1 : this.index(a);
  }

  index(a: Parsed): number {
    const i = this.rank(a);
    return i < this.count && compareAddresses(this.bytes(i), a) === 0 ? i : -1;
  }

  // rank returns how many addresses are below one.
  rank(a: Parsed): number {
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareAddresses(this.bytes(middle), a) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
