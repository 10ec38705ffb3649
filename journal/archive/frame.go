package archive

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/leaselog/leaselog/internal/crc32c"
	"github.com/leaselog/leaselog/internal/wire"
	"github.com/leaselog/leaselog/journal"
)

// A frame holds frameEvents events, the last frame of a file the rest:
//
//	uvarint length, and that many bytes of zstd: the columns, then the texts
//	the values of holes, event by event
//
// A column has a value for each event, and differs from what is expected after the event before by this much. A
// column of equal values is 0 and the value, any other is 1 and all values.
const frameEvents = 128

// Columns, in their order in a frame.
const (
	colShape    = iota // the template of the rest and of what is constant; 0: the record stands as a text
	colWall            // wall clock, in units of 1<<wallBits ns; the rest is a hole's value
	colOffset          // wall clock minus boot-time clock
	colMaxError        // microseconds, beyond what half a millisecond a second makes of it
	colBoot            // number of the boot
	colSynced          // how many events before the one before
	colIdentity        // 0 none, 1 the next one, else 2 + distance back >> identityBits; the rest is a hole's value
	columns
)

const (
	wallBits     = 24
	identityBits = 16
	driftDivisor = 2000 // the kernel's bound on the clock's error grows by 500 ppm
)

// clockState is what the next event's clock is expected from.
type clockState struct {
	wall, offset, maxError int64
}

// expectedError returns what the bound on the error is expected to be, in microseconds, at a wall clock.
func (c *clockState) expectedError(wall int64) int64 {
	if c.wall == 0 || wall < c.wall {
		return c.maxError
	}
	return c.maxError + (wall-c.wall)/1000/driftDivisor
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// frameWriter collects the events of a frame.
type frameWriter struct {
	cols  [columns][]uint64
	raw   []byte // the values of holes
	text  []byte
	clock clockState
	plain []byte // room
}

func (w *frameWriter) reset() {
	for i := range w.cols {
		w.cols[i] = w.cols[i][:0]
	}
	w.raw, w.text, w.clock = w.raw[:0], w.text[:0], clockState{}
}

func (w *frameWriter) events() int { return len(w.cols[colShape]) }

// times adds an event's clock to the columns. It comes before all else of the event.
func (w *frameWriter) times(o *journal.Outline, boot int) {
	c := o.Clock
	wall := zigzag(c.Wall - w.clock.wall)
	w.cols[colWall] = append(w.cols[colWall], wall>>wallBits)
	w.raw = append(w.raw, byte(wall>>16), byte(wall>>8), byte(wall))
	offset, maxError := c.Wall-c.BootTime, int64(c.MaxError/time.Microsecond)
	w.cols[colOffset] = append(w.cols[colOffset], zigzag(offset-w.clock.offset))
	w.cols[colMaxError] = append(w.cols[colMaxError], zigzag(maxError-w.clock.expectedError(c.Wall)))
	w.cols[colBoot] = append(w.cols[colBoot], uint64(boot))
	w.cols[colSynced] = append(w.cols[colSynced], uint64(o.Seq-1-o.Synced))
	w.clock = clockState{c.Wall, offset, maxError}
}

// identity adds which identity the event has: none, the next new one, or one so far back.
func (w *frameWriter) identity(has, isNew bool, back uint64) {
	switch {
	case !has:
		w.cols[colIdentity] = append(w.cols[colIdentity], 0)
	case isNew:
		w.cols[colIdentity] = append(w.cols[colIdentity], 1)
	default:
		w.cols[colIdentity] = append(w.cols[colIdentity], 2+back>>identityBits)
		w.raw = append(w.raw, byte(back>>8), byte(back))
	}
}

// whole adds an event as its record stands. Its clock is not told by the columns: who needs it reads the record.
func (w *frameWriter) whole(record []byte) {
	w.cols[colShape] = append(w.cols[colShape], 0)
	for i := colShape + 1; i < columns; i++ {
		w.cols[i] = append(w.cols[i], 0)
	}
	w.text = append(binary.AppendUvarint(w.text, uint64(len(record))), record...)
}

// encode returns the columns and texts as they are to be compressed.
func (w *frameWriter) encode() []byte {
	b := w.plain[:0]
	for _, col := range w.cols {
		same := true
		for _, v := range col {
			same = same && v == col[0]
		}
		if same {
			b = binary.AppendUvarint(append(b, 0), col[0])
			continue
		}
		b = append(b, 1)
		for _, v := range col {
			b = binary.AppendUvarint(b, v)
		}
	}
	w.plain = append(b, w.text...)
	return w.plain
}

var (
	errColumns = errors.New("columns end too early")
	errShape   = errors.New("a value that can't be")
)

// frame is one that was read. Its events are built one after another.
type frame struct {
	f      *file
	number int
	first  journal.Seq
	n      int
	cols   [columns][frameEvents]uint64
	plain  []byte
	bytes  []byte // as in the file

	// Where the next event is.
	at       int
	raw      []byte
	text     []byte
	identity uint64 // number of the next new one
	prev     journal.Hash
	record   []byte
}

// parse reads the columns, and the clocks of all events.
func (fr *frame) parse(plain, raw []byte) error {
	for i := range fr.cols {
		if len(plain) == 0 || plain[0] > 1 {
			return errColumns
		}
		same := plain[0] == 0
		plain = plain[1:]
		for k := range fr.n {
			if same && k > 0 {
				fr.cols[i][k] = fr.cols[i][0]
				continue
			}
			if len(plain) > 0 && plain[0] < 0x80 {
				fr.cols[i][k], plain = uint64(plain[0]), plain[1:]
				continue
			}
			v, w := binary.Uvarint(plain)
			if w <= 0 {
				return errColumns
			}
			fr.cols[i][k], plain = v, plain[w:]
		}
	}
	fr.text, fr.raw, fr.at = plain, raw, 0
	return nil
}

// clockAt works out the clock of the next event, whose share of the wall clock stands in raw.
func (fr *frame) clockAt(k int, c *clockState) (journal.Clock, error) {
	if len(fr.raw) < 3 || fr.cols[colBoot][k] >= uint64(len(fr.f.boots)) || fr.cols[colWall][k] >= 1<<(64-wallBits) {
		return journal.Clock{}, errShape
	}
	low := uint64(fr.raw[0])<<16 | uint64(fr.raw[1])<<8 | uint64(fr.raw[2])
	fr.raw = fr.raw[3:]
	wall := c.wall + unzigzag(fr.cols[colWall][k]<<wallBits|low)
	offset := c.offset + unzigzag(fr.cols[colOffset][k])
	maxError := c.expectedError(wall) + unzigzag(fr.cols[colMaxError][k])
	if maxError < 0 || maxError > 1<<40 {
		return journal.Clock{}, errShape
	}
	*c = clockState{wall, offset, maxError}
	return journal.Clock{Wall: wall, BootTime: wall - offset, Boot: fr.f.boots[fr.cols[colBoot][k]],
		MaxError: time.Duration(maxError) * time.Microsecond}, nil
}

// builder makes the records of a frame, in order.
type builder struct {
	fr     *frame
	clock  clockState
	filler filler
	o      journal.Outline
	// compared, if not nil, is the record that the next one is held against once it is made. The hash of the one before is then that which this
	// has of it, and is not worked out.
	compared []byte
	chain    uint32 // checksum of these
}

// next makes the next record. Its bytes are good until the next call; o says what its fixed parts are, unless
// plain is false: then the record stands in the frame as it is and has not been looked at.
func (b *builder) next() (record []byte, plain bool, err error) {
	fr := b.fr
	k, seq := fr.at, fr.first+journal.Seq(fr.at)
	if fr.cols[colShape][k] == 0 {
		n, w := binary.Uvarint(fr.text)
		if w <= 0 || n > uint64(len(fr.text)-w) {
			return nil, false, errShape
		}
		record, fr.text = fr.text[w:w+int(n)], fr.text[w+int(n):]
		fr.at++
		if b.compared == nil {
			fr.prev = journal.RecordHash(record)
		}
		return record, false, journal.CheckRecord(fr.f.head.id, seq, record)
	}
	shape, err := fr.f.template(fr.cols[colShape][k], shapeHead)
	if err != nil {
		return nil, false, err
	}
	b.o.Seq, b.o.Kind = seq, journal.Kind(shape.head[0])
	if b.o.Clock, err = fr.clockAt(k, &b.clock); err != nil {
		return nil, false, err
	}
	b.o.Clock.Synchronised = shape.head[1] != 0
	if fr.cols[colSynced][k] >= uint64(seq) {
		return nil, false, errShape
	}
	b.o.Synced = seq - 1 - journal.Seq(fr.cols[colSynced][k])
	if b.compared != nil {
		if err := b.takePrev(); err != nil {
			return nil, false, err
		}
	}
	dst := b.o.AppendHead(fr.record[:0], &fr.prev)
	if dst, err = b.body(dst, shape, k); err != nil {
		return nil, false, err
	}
	dst = journal.CompleteRecord(dst, 0, fr.f.head.id, seq)
	fr.record, fr.at = dst, k+1
	if b.compared == nil {
		fr.prev = journal.RecordHash(dst)
	}
	return dst, true, nil
}

// takePrev takes the hash of the record before from the one that is compared.
func (b *builder) takePrev() error {
	prev, ok := prevAt(b.compared)
	if !ok || b.fr.at == 0 && prev != b.fr.prev {
		return errChain
	}
	b.fr.prev = prev
	b.chain = crc32c.Update(b.chain, b.fr.prev[:])
	return nil
}

// prevAt returns the hash that a record has of the one before it, false if it is too short for one.
func prevAt(record []byte) (journal.Hash, bool) {
	const at = 23 // see docs/FORMAT.md, "Records"
	if len(record) < at+len(journal.Hash{}) {
		return journal.Hash{}, false
	}
	return journal.Hash(record[at:]), true
}

// body appends the body of event k.
func (b *builder) body(dst []byte, shape *template, k int) (_ []byte, err error) {
	fr := b.fr
	var id *template
	var vars []byte
	if fr.cols[colIdentity][k] != 0 {
		number, err := fr.identityOf(k)
		if err != nil {
			return dst, err
		}
		if id, vars, err = fr.f.identityAt(number); err != nil {
			return dst, err
		}
	}
	fields := shape.fields
	if id != nil {
		fields += id.fields
	}
	b.filler.knownN = 0
	dst = wire.AppendMap(dst, fields)
	if id != nil {
		if dst, vars, _, err = b.filler.fill(dst, id.first, vars, nil); err != nil {
			return dst, err
		}
	}
	if dst, fr.raw, fr.text, err = b.filler.fill(dst, shape.first, fr.raw, fr.text); err != nil {
		return dst, err
	}
	if id != nil {
		if dst, vars, _, err = b.filler.fill(dst, id.second, vars, nil); err != nil {
			return dst, err
		}
		if len(vars) > 0 {
			return dst, errShape
		}
	}
	dst, fr.raw, fr.text, err = b.filler.fill(dst, shape.second, fr.raw, fr.text)
	return dst, err
}

// identityOf returns the number of the identity of event k, which is the next one to be built.
func (fr *frame) identityOf(k int) (uint64, error) {
	v := fr.cols[colIdentity][k]
	if v == 1 {
		fr.identity++
		return fr.identity - 1, nil
	}
	if len(fr.raw) < 2 || v-2 >= 1<<32 {
		return 0, errShape
	}
	back := (v-2)<<identityBits | uint64(fr.raw[0])<<8 | uint64(fr.raw[1])
	fr.raw = fr.raw[2:]
	if back == 0 || back > fr.identity {
		return 0, errShape
	}
	return fr.identity - back, nil
}
