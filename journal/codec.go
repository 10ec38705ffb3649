package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/leaselog/leaselog/internal/crc32c"
	"github.com/leaselog/leaselog/internal/wire"
)

// Sizes in bytes. They are part of the format: a reader refuses what is larger.
const (
	MaxRecord = 4 << 10  // any record but a config
	MaxConfig = 24 << 10 // a config record
	MaxBatch  = 32 << 10 // records that are written and synced at once, framing included
)

// The record, docs/FORMAT.md has the table:
//
//	93                         array of 3
//	  9b                       the event, an array of 11 (12 with padding)
//	    01                     version
//	    cf seq                 offset 3: fixed width, so that a scanner can judge a torn record
//	    cf synced              offset 12
//	    c4 20 prev             offset 21
//	    d3 wall                offset 55
//	    d3 boottime            offset 64
//	    c4 10 boot ID          offset 73
//	    c2|c3 synchronised, maxerror in microseconds, kind
//	    body                   map of field number to value, ascending
//	    c0                     only if the record's length were a multiple of 128
//	  ce crc32c                over journal ID, seq and all bytes before
//	  5a                       sentinel, never zero
const (
	recordVersion = 1
	recordFields  = 11
	maxElements   = 15 // of an event, with padding and what later versions append
	sentinel      = 0x5a
	trailerBytes  = 6  // crc32c and sentinel
	headerBytes   = 91 // up to and with the boot ID
	minRecord     = headerBytes + 4 + trailerBytes
	lengthModulus = 128
)

// Fields of an event's body. The numbers are on disk. Fields up to 63 must be
// understood to write, fields from 64 to 127 may be skipped, as with kinds.
const (
	fieldContainerID = 1
	fieldIfName      = 2
	fieldNetNS       = 3
	fieldPod         = 4
	fieldTraceParent = 5
	fieldAddresses   = 6
	fieldCursors     = 7
	fieldReason      = 8
	fieldVersion     = 9
	fieldAttributes  = 10
	fieldCode        = 11
	fieldText        = 12
	fieldRequested   = 13
	fieldConfig      = 14
	fieldDigest      = 15
	fieldRanges      = 16
	fieldClaimed     = 17
	fieldBlocked     = 18
	fieldCut         = 19
	fieldOrigin      = 20
	fieldDropped     = 21
	fieldNetNSID     = 22

	lastKnownField = fieldNetNSID
	maxField       = 127
)

type rawField struct {
	key   int
	value []byte
}

// checksum is the CRC-32C of a record: bound to its journal and its place, so that a
// whole record in the wrong place is as wrong as a flipped bit.
func checksum(id ID, seq Seq, before []byte) uint32 {
	crc := crc32c.UpdateUint64(0, binary.BigEndian.Uint64(id[:]))
	crc = crc32c.UpdateUint64(crc, binary.BigEndian.Uint64(id[8:]))
	return crc32c.Update(crc32c.UpdateUint64(crc, uint64(seq)), before)
}

// RecordHash returns the SHA-256 of a record: what the next event's Prev holds.
func RecordHash(record []byte) Hash { return sha256.Sum256(record) }

// AppendRecord appends the event's record to dst. It returns ErrTooLarge for an
// event over MaxRecord, or over MaxConfig if it is a config.
func AppendRecord(dst []byte, id ID, ev *Event) ([]byte, error) {
	start := len(dst)
	dst = appendEvent(dst, ev, false)
	if (len(dst)-start+trailerBytes)%lengthModulus == 0 {
		dst = appendEvent(dst[:start], ev, true)
	}
	crc := checksum(id, ev.Seq, dst[start:])
	dst = binary.BigEndian.AppendUint32(append(dst, msgpcode.Uint32), crc)
	dst = append(dst, sentinel)
	if n := len(dst) - start; n > maxRecord(ev.Kind) {
		return dst[:start], fmt.Errorf("%w: record of %d bytes, at most %d", ErrTooLarge, n, maxRecord(ev.Kind))
	}
	return dst, nil
}

func maxRecord(k Kind) int {
	if k == KindConfig {
		return MaxConfig
	}
	return MaxRecord
}

func appendEvent(dst []byte, ev *Event, pad bool) []byte {
	n := recordFields + ev.moreN
	if pad {
		n++
	}
	dst = append(dst, msgpcode.FixedArrayLow|3, msgpcode.FixedArrayLow|byte(n), recordVersion)
	dst = wire.AppendFixed64(dst, msgpcode.Uint64, uint64(ev.Seq))
	dst = wire.AppendFixed64(dst, msgpcode.Uint64, uint64(ev.Synced))
	dst = wire.AppendBin(dst, ev.Prev[:])
	dst = wire.AppendFixed64(dst, msgpcode.Int64, uint64(ev.Wall))
	dst = wire.AppendFixed64(dst, msgpcode.Int64, uint64(ev.BootTime))
	dst = wire.AppendBin(dst, ev.Boot[:])
	dst = wire.AppendBool(dst, ev.Synchronised)
	dst = wire.AppendUint(dst, uint64(max(ev.MaxError, 0)/time.Microsecond))
	dst = append(dst, byte(ev.Kind))
	dst = appendBody(dst, ev)
	dst = append(dst, ev.more...)
	if pad {
		dst = append(dst, msgpcode.Nil)
	}
	return dst
}

// body collects fields by ascending number, with those that this version doesn't
// know in their places.
type body struct {
	b     []byte
	n     int
	extra []rawField
}

func (w *body) key(k int) {
	for len(w.extra) > 0 && w.extra[0].key < k {
		w.b = append(append(w.b, byte(w.extra[0].key)), w.extra[0].value...)
		w.extra = w.extra[1:]
		w.n++
	}
	if k <= maxField {
		w.b = append(w.b, byte(k))
		w.n++
	}
}

func (w *body) string(k int, s string) {
	if s != "" {
		w.key(k)
		w.b = wire.AppendString(w.b, s)
	}
}

func (w *body) uint(k int, v uint64) {
	if v != 0 {
		w.key(k)
		w.b = wire.AppendUint(w.b, v)
	}
}

func appendBody(dst []byte, ev *Event) []byte {
	start := len(dst)
	w := body{b: append(dst, 0), extra: ev.extra} // the head of the map, where it is the shortest
	w.string(fieldContainerID, ev.ContainerID)
	w.string(fieldIfName, ev.IfName)
	w.string(fieldNetNS, ev.NetNS)
	if ev.Pod != (Pod{}) {
		w.key(fieldPod)
		w.b = wire.AppendArray(w.b, 3)
		w.b = wire.AppendString(wire.AppendString(wire.AppendString(w.b, ev.Pod.Namespace), ev.Pod.Name), ev.Pod.UID)
	}
	w.string(fieldTraceParent, ev.TraceParent)
	w.addresses(ev.Addresses)
	w.cursors(ev.Cursors)
	w.uint(fieldReason, uint64(ev.Reason))
	w.string(fieldVersion, ev.Version)
	w.attributes(ev.Attributes)
	w.uint(fieldCode, uint64(ev.Code))
	w.string(fieldText, ev.Text)
	w.addrs(fieldRequested, ev.Requested)
	w.uint(fieldConfig, uint64(ev.Config))
	if ev.Digest != (Hash{}) {
		w.key(fieldDigest)
		w.b = wire.AppendBin(w.b, ev.Digest[:])
	}
	w.ranges(ev.Ranges)
	if ev.Claimed != 0 {
		w.key(fieldClaimed)
		w.b = wire.AppendFixed64(w.b, msgpcode.Int64, uint64(ev.Claimed))
	}
	if ev.Blocked {
		w.key(fieldBlocked)
		w.b = wire.AppendBool(w.b, true)
	}
	w.cut(ev.Cut)
	w.origin(ev.Origin)
	if len(ev.Dropped) > 0 {
		w.key(fieldDropped)
		w.b = wire.AppendArray(w.b, len(ev.Dropped))
		for _, name := range ev.Dropped {
			w.b = wire.AppendString(w.b, name)
		}
	}
	w.netNSID(ev.NetNSID)
	w.key(maxField + 1)
	var room [5]byte
	head := wire.AppendMap(room[:0], w.n)
	b := slices.Insert(w.b, start+1, head[1:]...)
	b[start] = head[0]
	return b
}

func (w *body) addresses(as []Address) {
	if len(as) == 0 {
		return
	}
	w.key(fieldAddresses)
	w.b = wire.AppendArray(w.b, len(as))
	for _, a := range as {
		w.b = wire.AppendUint(wire.AppendArray(w.b, 4), uint64(a.Set))
		w.b = wire.AppendUint(wire.AppendAddr(w.b, a.IP), uint64(a.Bits))
		w.b = wire.AppendAddr(w.b, a.Gateway)
	}
}

func (w *body) cursors(cs []Cursor) {
	if len(cs) == 0 {
		return
	}
	w.key(fieldCursors)
	w.b = wire.AppendArray(w.b, len(cs))
	for _, c := range cs {
		w.b = wire.AppendAddr(wire.AppendUint(wire.AppendArray(w.b, 2), uint64(c.Set)), c.IP)
	}
}

func (w *body) attributes(as []Attribute) {
	if len(as) == 0 {
		return
	}
	w.key(fieldAttributes)
	w.b = wire.AppendMap(w.b, len(as))
	for _, a := range as {
		w.b = wire.AppendString(wire.AppendString(w.b, a.Key), a.Value)
	}
}

func (w *body) addrs(k int, as []netip.Addr) {
	if len(as) == 0 {
		return
	}
	w.key(k)
	w.b = wire.AppendArray(w.b, len(as))
	for _, a := range as {
		w.b = wire.AppendAddr(w.b, a)
	}
}

func (w *body) ranges(sets [][]Range) {
	if len(sets) == 0 {
		return
	}
	w.key(fieldRanges)
	w.b = AppendRanges(w.b, sets)
}

// AppendRanges appends range sets as they stand in an event's body. A
// configuration's digest is the SHA-256 of these bytes.
func AppendRanges(b []byte, sets [][]Range) []byte {
	b = wire.AppendArray(b, len(sets))
	for _, set := range sets {
		b = wire.AppendArray(b, len(set))
		for _, r := range set {
			b = wire.AppendAddr(wire.AppendArray(b, 5), r.Subnet.Addr())
			b = wire.AppendUint(b, uint64(max(r.Subnet.Bits(), 0)))
			b = wire.AppendAddr(wire.AppendAddr(wire.AppendAddr(b, r.Start), r.End), r.Gateway)
		}
	}
	return b
}

func (w *body) cut(c Cut) {
	if c.File == "" {
		return
	}
	w.key(fieldCut)
	w.b = wire.AppendString(wire.AppendArray(w.b, 5), c.File)
	w.b = wire.AppendUint(wire.AppendUint(w.b, uint64(c.Offset)), uint64(c.Bytes))
	w.b = wire.AppendBin(wire.AppendString(w.b, c.Quarantine), inverted(c.Data))
}

// netNSID has nil for a time that isn't known: zero, as a time, would be another value.
func (w *body) netNSID(id NetNSID) {
	if id == (NetNSID{}) {
		return
	}
	w.key(fieldNetNSID)
	w.b = wire.AppendUint(wire.AppendArray(w.b, 2), id.Inode)
	if id.Made == 0 {
		w.b = append(w.b, msgpcode.Nil)
		return
	}
	w.b = wire.AppendFixed64(w.b, msgpcode.Int64, uint64(id.Made))
}

// inverted flips every bit: what was cut is often zeros, and a whole sector of zeros
// within a record would make damage to it look like a torn append.
func inverted(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = ^c
	}
	return out
}

func (w *body) origin(o Origin) {
	if o == (Origin{}) {
		return
	}
	w.key(fieldOrigin)
	w.b = wire.AppendString(wire.AppendString(wire.AppendArray(w.b, 6), o.Network), o.Node)
	w.b = wire.AppendBin(wire.AppendBin(w.b, o.Journal[:]), o.Parent[:])
	w.b = wire.AppendBin(wire.AppendUint(w.b, uint64(o.ParentSeq)), o.ParentHash[:])
}

// DecodeRecord reads the record of event seq of the journal id. Any byte that
// AppendRecord would not have written there is an error; ErrNewer marks a
// record that is whole but of a later version of the format.
func DecodeRecord(id ID, seq Seq, record []byte) (Event, error) {
	var ev Event
	if err := decodeRecord(&ev, id, seq, record, string(record)); err != nil {
		return Event{}, err
	}
	return ev, nil
}

// decodeRecord is DecodeRecord into an event, whose lists of addresses and cursors are written over. The record's
// bytes are given as a string too, so that a segment is converted once and not record by record. After an
// error the event means nothing.
func decodeRecord(ev *Event, id ID, seq Seq, record []byte, text string) error {
	n := len(record)
	if n < minRecord || n > MaxConfig || n%lengthModulus == 0 {
		return errRecordLen
	}
	if record[n-1] != sentinel {
		return errSentinel
	}
	body := record[:n-trailerBytes]
	if record[n-trailerBytes] != msgpcode.Uint32 ||
		binary.BigEndian.Uint32(record[n-trailerBytes+1:]) != checksum(id, seq, body) {
		return errChecksum
	}
	d := newDecoder(body, text[:len(body)])
	addresses, cursors := ev.Addresses[:0], ev.Cursors[:0]
	*ev = Event{}
	ev.Addresses, ev.Cursors = addresses, cursors
	d.event(ev, n)
	d.End()
	if err := d.failure(); err != nil {
		return err
	}
	if ev.Seq != seq {
		return errSeq
	}
	if n > maxRecord(ev.Kind) {
		return errRecordLen
	}
	return nil
}

func (d *decoder) event(ev *Event, recordLen int) {
	n, ok := d.header(ev)
	if !ok {
		n = d.plainHeader(ev)
	}
	ev.Synchronised = d.Bool()
	ev.MaxError = time.Duration(d.small(1<<40)) * time.Microsecond
	ev.Kind = Kind(d.small(maxField))
	d.body(ev)
	if d.Err() != nil || n == recordFields {
		return
	}
	if n == recordFields+1 && len(d.Rest()) == 1 && d.Null() {
		if recordLen%lengthModulus != 1 {
			d.Fail(errPadding)
		}
		return
	}
	start := d.Offset()
	for range n - recordFields {
		d.Skip()
	}
	ev.more, ev.moreN = d.Since(start), n-recordFields
}

func (d *decoder) body(ev *Event) {
	last := 0
	for range d.Map() {
		k := d.small(maxField)
		if k <= last { // zero after an error
			if d.Err() == nil {
				d.Fail(errOrder)
			}
			return
		}
		last = k
		if k > lastKnownField {
			start := d.Offset()
			d.Skip()
			ev.extra = append(ev.extra, rawField{k, d.Since(start)})
			continue
		}
		d.field(ev, k)
	}
}

func (d *decoder) field(ev *Event, k int) {
	switch k {
	case fieldContainerID:
		ev.ContainerID = d.nonEmpty()
	case fieldIfName:
		ev.IfName = d.nonEmpty()
	case fieldNetNS:
		ev.NetNS = d.nonEmpty()
	case fieldPod:
		d.Tuple(3)
		ev.Pod = Pod{Namespace: d.Str(), Name: d.Str(), UID: d.Str()}
		if ev.Pod == (Pod{}) {
			d.Fail(errEmpty)
		}
	case fieldTraceParent:
		ev.TraceParent = d.nonEmpty()
	case fieldAddresses:
		ev.Addresses = d.addresses(ev.Addresses)
	case fieldCursors:
		ev.Cursors = d.cursors(ev.Cursors)
	case fieldReason:
		ev.Reason = Reason(d.nonZero(255))
	case fieldVersion:
		ev.Version = d.nonEmpty()
	case fieldAttributes:
		ev.Attributes = d.attributes()
	case fieldCode:
		ev.Code = d.nonZero(1 << 20)
	case fieldText:
		ev.Text = d.nonEmpty()
	case fieldRequested:
		ev.Requested = make([]netip.Addr, d.filled())
		for i := range ev.Requested {
			ev.Requested[i] = d.Addr()
		}
	default:
		d.rareField(ev, k)
	}
}

// rareField reads the fields that an ordinary add or del doesn't have.
func (d *decoder) rareField(ev *Event, k int) {
	switch k {
	case fieldConfig:
		if ev.Config = Seq(d.Uint()); ev.Config == 0 {
			d.Fail(errEmpty)
		}
	case fieldDigest:
		if d.bytes(ev.Digest[:]); ev.Digest == (Hash{}) {
			d.Fail(errEmpty)
		}
	case fieldRanges:
		ev.Ranges = d.ranges()
	case fieldClaimed:
		if ev.Claimed = int64(d.Fixed64(msgpcode.Int64)); ev.Claimed == 0 {
			d.Fail(errEmpty)
		}
	case fieldBlocked:
		if ev.Blocked = d.Bool(); !ev.Blocked {
			d.Fail(errEmpty)
		}
	case fieldCut:
		d.Tuple(5)
		ev.Cut = Cut{File: d.nonEmpty(), Offset: int64(d.small(1 << 40)), Bytes: int64(d.small(1 << 40)),
			Quarantine: d.Str()}
		if data := d.Bin(); len(data) > 0 {
			ev.Cut.Data = inverted(data)
		}
	case fieldOrigin:
		d.Tuple(6)
		ev.Origin = Origin{Network: d.Str(), Node: d.Str()}
		d.bytes(ev.Origin.Journal[:])
		d.bytes(ev.Origin.Parent[:])
		ev.Origin.ParentSeq = Seq(d.Uint())
		d.bytes(ev.Origin.ParentHash[:])
		if ev.Origin == (Origin{}) {
			d.Fail(errEmpty)
		}
	case fieldDropped:
		ev.Dropped = make([]string, d.filled())
		for i := range ev.Dropped {
			ev.Dropped[i] = d.Str()
		}
	case fieldNetNSID:
		ev.NetNSID = d.netNSID()
	default:
		d.Fail(wire.ErrRange)
	}
}

func (d *decoder) netNSID() NetNSID {
	d.Tuple(2)
	id := NetNSID{Inode: d.Uint()}
	switch {
	case !d.Null():
		if id.Made = int64(d.Fixed64(msgpcode.Int64)); id.Made == 0 {
			d.Fail(errEmpty)
		}
	case id.Inode == 0:
		d.Fail(errEmpty)
	}
	return id
}

const maxSet = 1 << 16 // a range set's index is below; more would not fit a record

func (d *decoder) addresses(room []Address) []Address {
	n := d.filled()
	as := slices.Grow(room, n)[:n]
	for i := range as {
		d.Tuple(4)
		as[i] = Address{Set: d.small(maxSet), IP: d.Addr(), Bits: d.small(128), Gateway: d.AddrOrNil()}
		if d.Err() == nil && as[i].Bits > as[i].IP.BitLen() {
			d.Fail(wire.ErrRange)
		}
	}
	return as
}

func (d *decoder) cursors(room []Cursor) []Cursor {
	n := d.filled()
	cs := slices.Grow(room, n)[:n]
	for i := range cs {
		d.Tuple(2)
		cs[i] = Cursor{Set: d.small(maxSet), IP: d.Addr()}
	}
	return cs
}

func (d *decoder) attributes() []Attribute {
	as := make([]Attribute, d.Map())
	for i := range as {
		as[i] = Attribute{Key: d.Str(), Value: d.Str()}
		if i > 0 && as[i].Key <= as[i-1].Key {
			d.Fail(errOrder)
		}
	}
	if len(as) == 0 {
		d.Fail(errEmpty)
	}
	return as
}

func (d *decoder) ranges() [][]Range {
	sets := make([][]Range, d.filled())
	for i := range sets {
		sets[i] = make([]Range, d.Array())
		for j := range sets[i] {
			d.Tuple(5)
			ip := d.AddrOrNil()
			sets[i][j] = Range{Subnet: netip.PrefixFrom(ip, d.small(uint64(ip.BitLen()))),
				Start: d.AddrOrNil(), End: d.AddrOrNil(), Gateway: d.AddrOrNil()}
		}
	}
	return sets
}

// Understood reports whether this version knows everything in the event that a
// writer has to know. If not, its lease map would be wrong.
func (ev *Event) Understood() bool {
	if !ev.Kind.Known() && ev.Kind.MustUnderstand() {
		return false
	}
	for _, f := range ev.extra {
		if f.key < firstSkippable {
			return false
		}
	}
	return true
}
