// Package allocator decides which address an attachment gets.
//
// The policy is host-local's, round robin per range set. A set has a cursor, the
// address it gave last. A search begins behind the cursor, goes on through the
// ranges of the set in the order of the configuration, from the last range back to
// the first, and tries the cursor's own address last; without a cursor, or with
// one that the set no longer holds, it begins with the first address of the first
// range. Skipped is what somebody holds, and in each range its own gateway (and no
// other range's). A released address therefore comes back as late as possible in a
// quiet network and at once in a full one; there is no minimum time before reuse.
// A requested address is given if it is free and not the gateway, and moves the
// cursor as any other. Without a request, an attachment that already holds an
// address of the set is refused.
//
// One call is decided as a whole: each range set gives exactly one address or
// nothing is given and no cursor moves. Why it was refused is a [*Refusal], whose
// text is host-local's and whose cause is [ErrExhausted], [ErrDuplicate] or
// [ErrNotAvailable]. A set is exhausted when every address but the gateways is held.
//
// Choosing is pure: it sees the leases through [Leases] and knows no clock and no
// files, so that the same leases and the same request give the same addresses.
//
// Its cost is a few questions for the next free address per range, whatever the
// size of the range and however full it is: nothing walks from address to address.
// IPv4 and IPv6 are treated alike, up to /0; only the block of IPv4-mapped
// addresses, ::ffff:0:0/96, is never given out, because its addresses could not be
// told from IPv4's.
//
// A [Store] is the one way to change a network's leases on the disk: each call is a transaction under the journal's
// lock. [Store.Repair] mends a store whose calls are refused because of damage.
package allocator
