// Which leases a question of the search is about: an address, a prefix, a container ID or its beginning, a pod, a namespace.
import { formatAddress, parseAddress } from "./address.ts";
import { addressValue } from "./figures.ts";
import type { View } from "./types.ts";

// Ranks of a lease: 0 is none of those asked for; lower ones are better.
export const none = 0;
const exact = 1;
const beginning = 2;
const part = 3;
const ranks = 3;

// A Matcher answers for one question. It looks at each container and pod once, when it is first asked about a lease of it.
export class Matcher {
  readonly view: View;
  readonly query: string; // trimmed, in lower case
  readonly address: string; // that is asked for; "" if the question is about something else
  private readonly containers: Uint8Array; // 255: not looked at yet
  private readonly pods: Uint8Array;
  private readonly addresses: Uint8Array | null; // null: the question can't be about addresses
  private readonly namespace: string | null;
  private readonly name: string;

  constructor(view: View, query: string) {
    this.view = view;
    this.query = query.trim().toLowerCase();
    const slash = this.query.indexOf("/");
    this.namespace = slash < 0 ? null : this.query.slice(0, slash);
    this.name = slash < 0 ? this.query : this.query.slice(slash + 1);
    this.containers = new Uint8Array(view.containers.count).fill(255);
    this.pods = new Uint8Array(view.pods.count).fill(255);
    const address = parseAddress(this.query);
    this.address = address ? formatAddress(address) : "";
    this.addresses = rankAddresses(view, this.query);
  }

  // rank says how well a lease is what was asked for.
  rank(lease: number): number {
    const { leases } = this.view;
    const a = this.addresses ? this.addresses[leases.address[lease]] : none;
    return better(a, better(this.container(leases.container[lease]), this.pod(leases.pod[lease])));
  }

  private container(index: number): number {
    if (this.containers[index] !== 255) return this.containers[index];
    const id = this.view.containers.text(index).toLowerCase();
    let rank = none;
    if (id === this.query) rank = exact;
    else if (id.startsWith(this.query)) rank = beginning;
    else if (this.view.containers.shortened(index) && this.query.startsWith(id) && this.query.length <= 64) rank = exact;
    return (this.containers[index] = rank);
  }

  private pod(index: number): number {
    if (index < 0) return none;
    if (this.pods[index] !== 255) return this.pods[index];
    const namespace = this.view.pods.namespace(index).toLowerCase();
    const name = this.view.pods.podName(index).toLowerCase();
    let rank = none;
    if (this.namespace !== null) rank = this.namespace === "" || namespace === this.namespace ? rankName(name, this.name) : none;
    else rank = better(rankName(name, this.name), namespace === this.query ? exact : none);
    return (this.pods[index] = rank);
  }
}

function better(a: number, b: number): number {
  return a === none || (b !== none && b < a) ? b : a;
}

function rankName(name: string, asked: string): number {
  if (name === asked) return exact;
  if (name.startsWith(asked)) return beginning;
  return name.includes(asked) ? part : none;
}

function isAddress(text: string): boolean {
  return parseAddress(text) !== null;
}

// rankAddresses ranks the addresses of a view for a question that may be about addresses: one, a prefix, or the beginning of some.
function rankAddresses(view: View, query: string): Uint8Array | null {
  const { addresses } = view;
  const ranked = new Uint8Array(addresses.count);
  if (isAddress(query)) {
    const found = addresses.find(query);
    if (found >= 0) ranked[found] = exact;
    return ranked;
  }
  const prefix = /^([^/]+)\/(\d{1,3})$/.exec(query);
  if (prefix && isAddress(prefix[1])) {
    const is4 = !query.includes(":");
    const bits = BigInt((is4 ? 32 : 128) - Number(prefix[2]));
    if (bits < 0n) return null;
    const value = addressValue(prefix[1]) >> bits;
    for (let i = 0; i < addresses.count; i++) {
      if (addresses.is4(i) === is4 && addresses.value(i) >> bits === value) ranked[i] = beginning;
    }
    return ranked;
  }
  if (!/^(\d+\.[\d.]*|[0-9a-f]*:[0-9a-f:]*)$/.test(query)) return null;
  for (let i = 0; i < addresses.count; i++) {
    if (addresses.text(i).startsWith(query)) ranked[i] = beginning;
  }
  return ranked;
}

// Found are the leases that a question is about.
export interface Found {
  readonly rows: readonly number[]; // indexes of leases: the best first, of these the newest first
  readonly total: number; // of all that there are
}

// find looks for leases, and pauses now and then so that nothing freezes. pause answers false when the result isn't wanted any more;
// then there is none.
export async function find(matcher: Matcher, most: number, pause: () => Promise<boolean>): Promise<Found | null> {
  const byRank: number[][] = Array.from({ length: ranks + 1 }, () => []);
  let total = 0;
  let begun = performance.now();
  for (let i = matcher.view.leases.count - 1; i >= 0; i--) {
    const rank = matcher.rank(i);
    if (rank !== none) {
      total++;
      if (byRank[rank].length < most) byRank[rank].push(i);
    }
    if (i % 1024 === 0 && performance.now() - begun > 8) {
      if (!(await pause())) return null;
      begun = performance.now();
    }
  }
  return { rows: byRank.flat().slice(0, most), total };
}
