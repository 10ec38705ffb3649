package journal

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"
)

// Seq is an event's place in its journal: from 1 on, without gaps. Zero means none.
type Seq uint64

// Hash is a SHA-256 digest: of a record, to chain the next one to it, or of a configuration.
type Hash [32]byte

// String returns the digest as lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ID names one journal: 16 random bytes drawn when its network was created. It
// seeds every checksum, so that a record can't be read as part of another journal.
type ID [16]byte

// String returns the ID as 32 lower-case hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String prints.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != hex.EncodedLen(len(id)) {
		return ID{}, fmt.Errorf("journal ID %q: want 32 hex digits", s)
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("journal ID %q: %w", s, err)
	}
	return id, nil
}

// BootID is the kernel's random boot ID; zero where the kernel has none.
type BootID [16]byte

// String returns the boot ID in the kernel's form, 8-4-4-4-12 hex digits.
func (b BootID) String() string {
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Kind says what an event is about. The numbers are on disk: they are appended to
// and never renumbered. Kinds up to 63 change the lease map and must be understood
// to write; kinds from 64 to 127 don't and may be skipped.
type Kind uint8

// The kinds of events.
const (
	KindAdd     Kind = 1 // an attachment got its addresses
	KindDel     Kind = 2 // an attachment's addresses were released by DEL or GC
	KindRefuse  Kind = 3 // an ADD was refused for an allocation reason
	KindConfig  Kind = 4 // the static ranges that the following adds refer to
	KindImport  Kind = 5 // a lease, blocked address or cursor taken over from elsewhere
	KindGenesis Kind = 6 // the first event of every journal
	KindRepair  Kind = 7 // something damaged or torn was set aside
	KindRelease Kind = 8 // an attachment's addresses were released by an operator or a rule
	KindReset   Kind = 9 // every lease ended at once

	// KindAnnotate completes what is known of a lease's owner: its network namespace and pod, from a source
	// outside of the journal.
	KindAnnotate Kind = 10

	KindPrune  Kind = 64 // events were removed from the history, see Event.Pruned
	KindHold   Kind = 65 // events of some time are not to be pruned, see Event.Hold
	KindUnhold Kind = 66 // a hold ended, see Event.Hold
)

// firstSkippable is the first kind, and the first field, that a writer need not know.
const firstSkippable = 64

var kindNames = [...]string{
	KindAdd: "add", KindDel: "del", KindRefuse: "refuse", KindConfig: "config", KindImport: "import",
	KindGenesis: "genesis", KindRepair: "repair", KindRelease: "release", KindReset: "reset", KindAnnotate: "annotate",
}

var skippableNames = [...]string{
	KindPrune - firstSkippable: "prune", KindHold - firstSkippable: "hold", KindUnhold - firstSkippable: "unhold",
}

// name returns the kind's name, "" for one this version doesn't know.
func (k Kind) name() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	if i := int(k) - firstSkippable; i >= 0 && i < len(skippableNames) {
		return skippableNames[i]
	}
	return ""
}

// String returns the kind's name, or "kind(N)" for one this version doesn't know.
func (k Kind) String() string {
	if name := k.name(); name != "" {
		return name
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Kinds returns the kinds of this version, ascending.
func Kinds() []Kind {
	var kinds []Kind
	for k := Kind(1); k <= maxField; k++ {
		if k.Known() {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// ParseKind reads what String prints for the kinds of this version.
func ParseKind(s string) (Kind, error) {
	for _, k := range Kinds() {
		if k.name() == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("event kind %q is not known", s)
}

// Known reports whether this version knows what the kind means.
func (k Kind) Known() bool { return k.name() != "" }

// MustUnderstand reports whether a writer has to know the kind: whoever doesn't
// would build on a lease map that misses it.
func (k Kind) MustUnderstand() bool { return k < firstSkippable }

// Reason says why a lease ended. The numbers are on disk, as those of Kind.
type Reason uint8

// The reasons for which leases end.
const (
	ReasonDel      Reason = 1 // the runtime's DEL
	ReasonGC       Reason = 2 // the runtime's GC did not list the attachment
	ReasonForce    Reason = 3 // an operator's order
	ReasonReboot   Reason = 4 // the lease was of an earlier boot
	ReasonReplaced Reason = 5 // a new owner took a stale lease
	ReasonExternal Reason = 6 // another program took the lease away
	ReasonWiped    Reason = 7 // the network's data folder or its marker was deleted
)

var reasonNames = [...]string{
	ReasonDel: "del", ReasonGC: "gc", ReasonForce: "force", ReasonReboot: "reboot",
	ReasonReplaced: "replaced", ReasonExternal: "external", ReasonWiped: "wiped",
}

// String returns the reason's name, or "reason(N)" for one this version doesn't know.
func (r Reason) String() string {
	if int(r) < len(reasonNames) && reasonNames[r] != "" {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Clock is what the clocks showed when an event was recorded. Both are read after
// the lock is held, so within a boot BootTime never falls from one event to the next.
type Clock struct {
	Wall         int64 // UTC, nanoseconds since 1970
	BootTime     int64 // CLOCK_BOOTTIME, nanoseconds since this boot
	Boot         BootID
	Synchronised bool          // the kernel says that the wall clock is disciplined
	MaxError     time.Duration // the kernel's bound on the wall clock's error, in whole microseconds
}

// Time returns the wall clock as a UTC time.
func (c Clock) Time() time.Time { return time.Unix(0, c.Wall).UTC() }

// Address is one address of an attachment, as its ADD printed it.
type Address struct {
	Set     int        // index of the range set it came from, 0 on
	IP      netip.Addr // never an IPv4-mapped IPv6 address
	Bits    int        // prefix length of its subnet
	Gateway netip.Addr // zero if there is none
}

// Cursor is where the next allocation from a range set goes on: after IP.
type Cursor struct {
	Set int
	IP  netip.Addr
}

// Pod is who the runtime says the container belongs to; fields may be empty.
type Pod struct {
	Namespace, Name, UID string
}

// NetNSID tells a network namespace from others that its path led to before or after. The zero NetNSID is
// that of a namespace that could not be looked at.
type NetNSID struct {
	Inode uint64 // in nsfs; the kernel gives it again once the namespace is gone
	Made  int64  // when it was mounted at the path, UTC nanoseconds; 0 if the path is no mount and so doesn't tell
}

// Range is a part of a subnet that addresses are handed out from: Start to End, both included.
type Range struct {
	Subnet     netip.Prefix
	Start, End netip.Addr
	Gateway    netip.Addr // zero if there is none
}

// Attribute is a named value that has no field of its own.
type Attribute struct {
	Key, Value string
}

// Event is one fact, as one record holds it. Which of the fields after Kind are
// used depends on the kind; absent ones cost no bytes.
//
// Strings of a decoded event share memory with the segment that it was read from.
type Event struct {
	Seq    Seq
	Synced Seq  // the last event that was durable when this one's batch was written
	Prev   Hash // SHA-256 of the record before; zero in the first event
	Clock
	Kind Kind

	ContainerID string
	IfName      string
	NetNS       string  // CNI_NETNS as given
	NetNSID     NetNSID // of NetNS
	Pod         Pod
	TraceParent string      // W3C trace context of the caller
	Addresses   []Address   // add, import: taken; del, release: given back; annotate: held
	Cursors     []Cursor    // add, import: cursors as they are after this event
	Reason      Reason      // del, release, reset
	Version     string      // of the program that wrote it
	Attributes  []Attribute // sorted by key, no key twice
	Code        int         // refuse: the CNI error code
	Text        string      // refuse: the cause; repair: what was found; prune: why; hold, unhold: a note
	Requested   []netip.Addr
	Config      Seq       // add, refuse: the config event with the static ranges; 0 = none or not recorded
	Digest      Hash      // config: SHA-256 over the static ranges
	Ranges      [][]Range // config: the static range sets; add: those that came with the call
	Claimed     int64     // import: when the lease began by its source's word, UTC nanoseconds; 0 = not said
	Blocked     bool      // import: the address has no known owner and is held back
	Cut         Cut       // repair: what was cut off
	Origin      Origin    // genesis
	Dropped     []string  // names of fields left out because the record would have been too long

	extra []rawField // body fields this version doesn't know or a writer need not know, by ascending key
	more  []byte     // array elements this version doesn't know, as on disk
	moreN int
}

// Cut says what a repair set aside.
type Cut struct {
	File       string // segment or snapshot, by its name
	Offset     int64  // of the first byte that was cut
	Bytes      int64  // how many
	Quarantine string // the file in quarantine/ that holds them; "" if there was no room
	Data       []byte // the first of the cut bytes, where there was no room for a file
}

// Origin says what a journal is and where it comes from.
type Origin struct {
	Network    string
	Node       string // host name when the network was created
	Journal    ID
	Parent     ID // the journal this one continues, zero if none
	ParentSeq  Seq
	ParentHash Hash
}

// AttributeSource is the attribute of the import that ends the taking over of a folder: which folder it was. Until
// it is recorded, the imports before it are those of a call that did not finish. In an annotate it names where what
// that says comes from.
const AttributeSource = "source"

// Attributes of prune, hold and unhold events.
const (
	AttributeBy     = "by"     // who: user, user ID and node, in words
	AttributePolicy = "policy" // prune: the retention that was asked for, as Retention prints it
)
