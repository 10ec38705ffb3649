package journal

import (
	"errors"
	"fmt"

	"github.com/leaselog/leaselog/internal/wire"
)

// errShort is one value for records and segments: what was cut short tells a torn append
// from damage, whoever notices it.
var errShort = wire.ErrShort

var (
	errEmpty     = errors.New("empty value where absence is meant")
	errPadding   = errors.New("padding is wrong")
	errOrder     = errors.New("keys out of order")
	errSentinel  = errors.New("last byte is wrong")
	errChecksum  = errors.New("checksum does not match")
	errSeq       = errors.New("sequence number is not the one that belongs here")
	errRecordLen = errors.New("impossible record length")

	errNotAcknowledged = errors.New("is not the event that was acknowledged under this number")
)

// decoder is wire's with what records need: absence has one form, which is that the
// field isn't there.
type decoder struct{ wire.Decoder }

// newDecoder decodes b. If text is not "" it must be the same bytes: strings are cut from
// it, so a whole segment costs one allocation.
func newDecoder(b []byte, text string) decoder { return decoder{wire.NewDecoder(b, text)} }

// failure returns the first error and its place. That the record is a later version's has none.
func (d *decoder) failure() error {
	err := d.Err()
	if err == nil || errors.Is(err, ErrNewer) {
		return err
	}
	return fmt.Errorf("byte %d: %w", d.Offset(), err)
}

// small reads a number of at most limit.
func (d *decoder) small(limit uint64) int { return int(d.AtMost(limit)) }

// nonZero reads a number that would have been left out if it were zero.
func (d *decoder) nonZero(limit uint64) int {
	v := d.small(limit)
	if v == 0 {
		d.Fail(errEmpty)
	}
	return v
}

// nonEmpty reads a string that would have been left out if it were empty.
func (d *decoder) nonEmpty() string {
	s := d.Str()
	if s == "" {
		d.Fail(errEmpty)
	}
	return s
}

// filled reads the length of an array that would have been left out if it were empty.
func (d *decoder) filled() int {
	n := d.Array()
	if n == 0 {
		d.Fail(errEmpty)
	}
	return n
}

// bytes reads bytes that can only be as many as dst has.
func (d *decoder) bytes(dst []byte) {
	if v := d.Bin(); len(v) == len(dst) {
		copy(dst, v)
	} else {
		d.Fail(wire.ErrShape)
	}
}
