// Numbers of docs/FORMAT.md: kinds of events, and reasons for which leases end.

export const Kind = { add: 1, del: 2, refuse: 3, import: 5, release: 8, reset: 9 } as const;

const kinds = ["pruned", "add", "del", "refuse", "config", "import", "genesis", "repair", "release", "reset", "annotate"];
const laterKinds = ["prune", "hold", "unhold"]; // from 64 on

export function kindName(kind: number): string {
  return kinds[kind] || laterKinds[kind - 64] || `kind ${kind}`;
}

export const reasons = ["", "del", "gc", "force", "reboot", "replaced", "external", "wiped"];
export const reasonDel = 1;
