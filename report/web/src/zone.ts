// The time zone in which times are shown beside UTC, and in which local times are understood.

export const zoneChanged = "leaselog:zone";

let chosen = "UTC";

// zone is an IANA name.
export function zone(): string {
  return chosen;
}

export function setZone(name: string): void {
  if (name === chosen) return;
  chosen = name;
  document.dispatchEvent(new Event(zoneChanged));
}
