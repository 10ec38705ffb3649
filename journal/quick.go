package journal

import (
	"encoding/binary"
	"fmt"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/leaselog/leaselog/internal/wire"
)

// header reads what stands at fixed places up to the boot ID, in one go because it is a quarter of the work of decoding
// a record. It returns the number of the event's elements. Where a byte is not what AppendRecord writes, it reads nothing
// and returns false: plainHeader says what is wrong.
func (d *decoder) header(ev *Event) (elements int, ok bool) {
	if len(d.Rest()) < headerBytes {
		return 0, false
	}
	b := d.Rest()[:headerBytes]
	n := int(b[1]) - int(msgpcode.FixedArrayLow)
	if b[0] != msgpcode.FixedArrayLow|3 || n < recordFields || n > maxElements || b[2] != recordVersion ||
		b[3] != msgpcode.Uint64 || b[12] != msgpcode.Uint64 || b[21] != msgpcode.Bin8 || b[22] != byte(len(ev.Prev)) ||
		b[55] != msgpcode.Int64 || b[64] != msgpcode.Int64 || b[73] != msgpcode.Bin8 || b[74] != byte(len(ev.Boot)) {
		return 0, false
	}
	ev.Seq = Seq(binary.BigEndian.Uint64(b[4:]))
	ev.Synced = Seq(binary.BigEndian.Uint64(b[13:]))
	ev.Prev = Hash(b[23:55])
	ev.Wall = int64(binary.BigEndian.Uint64(b[56:]))
	ev.BootTime = int64(binary.BigEndian.Uint64(b[65:]))
	ev.Boot = BootID(b[75:headerBytes])
	d.Take(headerBytes)
	return n, true
}

// plainHeader is header value by value.
func (d *decoder) plainHeader(ev *Event) (elements int) {
	if d.Code() != msgpcode.FixedArrayLow|3 {
		d.Fail(wire.ErrShape)
	}
	n := d.Array()
	if version := d.Code(); d.Err() == nil && version != recordVersion {
		d.Fail(fmt.Errorf("record version %d: %w", version, ErrNewer))
		return 0
	}
	if n < recordFields || n > maxElements {
		d.Fail(wire.ErrShape)
	}
	ev.Seq = Seq(d.Fixed64(msgpcode.Uint64))
	ev.Synced = Seq(d.Fixed64(msgpcode.Uint64))
	d.bytes(ev.Prev[:])
	ev.Wall = int64(d.Fixed64(msgpcode.Int64))
	ev.BootTime = int64(d.Fixed64(msgpcode.Int64))
	d.bytes(ev.Boot[:])
	return n
}
