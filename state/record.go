package state

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"net/netip"
	"time"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/leaselog/leaselog/internal/wire"
	"github.com/leaselog/leaselog/journal"
)

// A lease is kept in one form everywhere, in the overlay and in snapshots, so that
// merging them copies bytes. docs/FORMAT.md has the table:
//
//	9c                  array of 12, or 9d with the last element
//	  c4 ip             4 or 16 bytes; first, because leases are searched by it
//	  id, ifname        right after it: these bytes are compared to find an owner's leases
//	  set, bits, gateway|nil, netns, [pod namespace, name, uid]|nil
//	  start, clock, flags, claimed|nil
//	  [inode, made|nil]  only if the network namespace's identity is known
const (
	recordFields = 12
	netNSFields  = 2
	clockFields  = 5
	podFields    = 3
)

// Flags of a lease record. They are on disk.
const (
	flagImport  = 1
	flagBlocked = 2
	knownFlags  = flagImport | flagBlocked
)

// maxMicros is the largest number of microseconds that a Duration holds.
const maxMicros = math.MaxInt64 / uint64(time.Microsecond)

// cutClock gives the clock as snapshots hold it, so that it makes no difference
// whether a state came from events or from a snapshot.
func cutClock(c journal.Clock) journal.Clock {
	c.MaxError = max(c.MaxError, 0).Truncate(time.Microsecond)
	return c
}

// appendClock appends a clock in full width: wall and boot time of a lease have no
// small values, and it keeps the header's length from depending on the hour.
func appendClock(b []byte, c *journal.Clock) []byte {
	b = appendArray(b, clockFields)
	b = wire.AppendFixed64(b, msgpcode.Int64, uint64(c.Wall))
	b = wire.AppendFixed64(b, msgpcode.Int64, uint64(c.BootTime))
	if c.Boot == (journal.BootID{}) {
		b = append(b, msgpcode.Nil)
	} else {
		b = wire.AppendBin(b, c.Boot[:])
	}
	b = wire.AppendBool(b, c.Synchronised)
	return wire.AppendUint(b, uint64(max(c.MaxError, 0)/time.Microsecond))
}

// clock reads what appendClock wrote.
func (p *parser) clock() (c journal.Clock) {
	p.tuple(clockFields)
	c.Wall = int64(p.Fixed64(msgpcode.Int64))
	c.BootTime = int64(p.Fixed64(msgpcode.Int64))
	if !p.Null() {
		copy(c.Boot[:], p.bin(len(c.Boot)))
		if c.Boot == (journal.BootID{}) {
			p.Fail(wire.ErrNotMin) // nil says the same
		}
	}
	c.Synchronised = p.Bool()
	c.MaxError = time.Duration(p.AtMost(maxMicros)) * time.Microsecond
	return c
}

// appendOwner appends the part of a record that says who holds the lease.
func appendOwner(b []byte, a Attachment) []byte {
	return wire.AppendString(appendText(b, a.ContainerID), a.IfName)
}

// appendRecord appends a lease. Every lease has exactly one form, since equal states
// must give equal snapshots: what can be absent is nil and never empty.
// owner is what appendOwner makes of the attachment.
func appendRecord(b []byte, l *Lease, owner []byte) []byte {
	fields := recordFields
	if l.NetNSID != (journal.NetNSID{}) {
		fields++
	}
	b = appendArray(b, fields)
	b = wire.AppendAddr(b, l.IP)
	b = append(b, owner...)
	b = wire.AppendUint(b, uint64(l.Set))
	b = wire.AppendUint(b, uint64(l.Bits))
	b = wire.AppendAddr(b, l.Gateway)
	b = appendText(b, l.NetNS)
	if l.Pod == (journal.Pod{}) {
		b = append(b, msgpcode.Nil)
	} else {
		b = appendArray(b, podFields)
		b = appendText(wire.AppendString(wire.AppendString(b, l.Pod.Namespace), l.Pod.Name), l.Pod.UID)
	}
	b = wire.AppendUint(b, uint64(l.Start))
	b = appendClock(b, &l.Clock)
	flags := uint64(0)
	if l.Import {
		flags |= flagImport
	}
	if l.Blocked {
		flags |= flagBlocked
	}
	b = wire.AppendUint(b, flags)
	b = appendTime(b, l.Claimed)
	if fields > recordFields {
		b = wire.AppendUint(appendArray(b, netNSFields), l.NetNSID.Inode)
		b = appendTime(b, l.NetNSID.Made)
	}
	return b
}

// appendTime appends nanoseconds since 1970, nil for none.
func appendTime(b []byte, ns int64) []byte {
	if ns == 0 {
		return append(b, msgpcode.Nil)
	}
	return wire.AppendFixed64(b, msgpcode.Int64, uint64(ns))
}

// time reads what appendTime wrote.
func (p *parser) time() int64 {
	if p.Null() {
		return 0
	}
	ns := int64(p.Fixed64(msgpcode.Int64))
	if ns == 0 {
		p.Fail(wire.ErrNotMin) // nil says the same
	}
	return ns
}

// leaseHead reads the head of a lease's array and reports whether it has the last element.
func (p *parser) leaseHead() (identified bool) {
	n := p.array()
	if n != recordFields && n != recordFields+1 {
		p.Fail(wire.ErrShape)
	}
	return n > recordFields
}

// record is a lease record taken apart but not copied: its slices belong to the
// overlay or to the block that it was read from, and are good until that changes.
type record struct {
	raw   []byte
	key   key
	owner []byte // what appendOwner wrote: equal for equal attachments
	id    text
	ifn   []byte

	set, bits   int
	gateway     netip.Addr
	netns       text
	podNS, podN []byte
	podUID      text
	start       journal.Seq
	clock       journal.Clock
	flags       uint64
	claimed     int64
	identified  bool // has a netnsID
	netnsID     journal.NetNSID
}

// parseHead reads what lookups compare, the address and the owner, and leaves the rest.
func (r *record) parseHead(raw []byte) parser {
	r.raw = raw
	p := newParser(raw)
	r.identified = p.leaseHead()
	r.key = p.key()
	start := p.Offset()
	r.id = p.text()
	r.ifn = p.StrBytes()
	r.owner = p.Since(start)
	return p
}

// parseFunc reads a record's bytes into r: all of them, or what the caller asks for.
type parseFunc func(r *record, raw []byte) error

// readHead reads what a record that goes into another snapshot as it stands is asked for, its address and owner.
func readHead(r *record, raw []byte) error {
	p := r.parseHead(raw)
	return p.Err()
}

// readWhole reads and checks all of it.
func readWhole(r *record, raw []byte) (err error) {
	*r, err = parseRecord(raw)
	return err
}

// parseRecord reads and checks a whole record.
func parseRecord(raw []byte) (record, error) {
	var r record
	p := r.parseHead(raw)
	r.set = int(p.AtMost(math.MaxInt))
	limit := uint64(128)
	if r.key.fam == fam4 {
		limit = 32
	}
	r.bits = int(p.AtMost(limit))
	r.gateway = p.addr()
	r.netns = p.text()
	if !p.Null() {
		p.tuple(podFields)
		r.podNS, r.podN, r.podUID = p.StrBytes(), p.StrBytes(), p.text()
		if len(r.podNS)+len(r.podN)+len(r.podUID.b) == 0 {
			p.Fail(wire.ErrNotMin) // nil says the same
		}
	}
	r.start = journal.Seq(p.Uint())
	r.clock = p.clock()
	r.flags = p.AtMost(knownFlags)
	r.claimed = p.time()
	if r.identified {
		p.tuple(netNSFields)
		r.netnsID = journal.NetNSID{Inode: p.Uint(), Made: p.time()}
		if r.netnsID == (journal.NetNSID{}) {
			p.Fail(wire.ErrNotMin) // an array of 12 says the same
		}
	}
	p.End()
	if !r.consistent() {
		p.Fail(errOwnerless)
	}
	return r, p.Err()
}

// consistent reports whether the record is one that some event leads to: only imports
// are blocked, and exactly the blocked leases have no owner.
func (r *record) consistent() bool {
	if r.flags&flagBlocked == 0 {
		return len(r.id.b) > 0
	}
	return r.flags&flagImport != 0 && len(r.id.b)+len(r.ifn) == 0
}

// blocked reports whether the address is held back and has no owner.
func (r *record) blocked() bool { return len(r.id.b) == 0 }

// legacy reports whether the lease was taken over without an interface name.
func (r *record) legacy() bool { return r.flags&flagImport != 0 && len(r.ifn) == 0 && !r.blocked() }

// lease copies the record into a Lease. One string holds all of its texts.
func (r *record) lease() Lease {
	var room [512]byte
	b := r.id.appendTo(room[:0])
	id := len(b)
	b = append(b, r.ifn...)
	ifn := len(b)
	b = r.netns.appendTo(b)
	netns := len(b)
	b = append(b, r.podNS...)
	podNS := len(b)
	b = append(b, r.podN...)
	podN := len(b)
	b = r.podUID.appendTo(b)
	s := string(b)
	return Lease{
		Address:    journal.Address{Set: r.set, IP: r.key.addr(), Bits: r.bits, Gateway: r.gateway},
		Attachment: Attachment{ContainerID: s[:id], IfName: s[id:ifn]},
		NetNS:      s[ifn:netns],
		NetNSID:    r.netnsID,
		Pod:        journal.Pod{Namespace: s[netns:podNS], Name: s[podNS:podN], UID: s[podN:]},
		Start:      r.start,
		Clock:      r.clock,
		Claimed:    r.claimed,
		Import:     r.flags&flagImport != 0,
		Blocked:    r.blocked(),
	}
}

// decodeLease reads a record that becomes a Lease at once.
func decodeLease(raw []byte) (Lease, error) {
	r, err := parseRecord(raw)
	if err != nil {
		return Lease{}, err
	}
	return r.lease(), nil
}

// fingerprint gives the number under which an attachment stands in the owner index:
// the first 8 bytes of SHA-256 over container ID, a zero byte and interface name.
func fingerprint(a Attachment) uint64 {
	var room [256]byte
	b := append(room[:0], a.ContainerID...)
	return fingerprintOf(append(append(b, 0), a.IfName...))
}

// fingerprint returns the fingerprint of the lease's owner, without making strings of it.
func (r *record) fingerprint() uint64 {
	var room [256]byte
	b := append(r.id.appendTo(room[:0]), 0)
	return fingerprintOf(append(b, r.ifn...))
}

func fingerprintOf(b []byte) uint64 {
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:])
}
