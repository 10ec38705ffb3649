package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/leaselog/leaselog/internal/crc32c"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// MaxEvents is how many events one file holds at most: what its index takes of memory while it is made follows from
// that.
const MaxEvents = 1 << 21

// Source returns the records after an event, in order, with their Raw bytes, each good until the next: such as
// journal.Reader.Raw. It is walked twice, and has to return the same.
type Source func(after journal.Seq) iter.Seq2[journal.Record, error]

// Options choose how Pack packs. The zero value is good.
type Options struct {
	Keyframes []string // paths of snapshots that the file keeps, ascending; each covers the event before the first or a later one
	// Before reads the events before the first one, which are about to be pruned: what later answers need of them is kept in
	// the file. They need the keyframe of the event before the first, too. Nil takes both over from a file in the folder
	// that begins with the same event and has them.
	Before *Reader
}

// Packed says what Pack has made.
type Packed struct {
	Path        string
	First, Last journal.Seq
	Bytes       int64
}

// Pack packs the events from first to last, which are at most MaxEvents, to a new file in folder. It is durable,
// name included, before the error is nil, and has been read back and compared with the source, record by record. On
// an error nothing is left. It removes no segment. Two calls for one folder must not overlap.
//
// It does: open(O_EXCL) of a temporary name, write, fsync, read all, rename, fsync of the folder.
func Pack(folder string, meta journal.Meta, first, last journal.Seq, source Source, o Options) (Packed, error) {
	if first == 0 || last < first || last-first >= MaxEvents {
		return Packed{}, fmt.Errorf("pack events %d to %d: want at least one and at most %d", first, last, MaxEvents)
	}
	tmp := filepath.Join(folder, fmt.Sprintf("tmp.%d%s", os.Getpid(), nameEnd))
	path := filepath.Join(folder, Name(first, last))
	size, proof, err := pack(tmp, meta, first, last, source, o, func(*packing) {})
	if err == nil {
		err = compare(tmp, meta.ID, first, last, source, proof)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return Packed{}, errors.Join(fmt.Errorf("pack events %d to %d: %w", first, last, err), removeIfThere(tmp))
	}
	if err := journal.SyncDir(folder); err != nil {
		return Packed{}, fmt.Errorf("pack events %d to %d: %w", first, last, err)
	}
	return Packed{path, first, last, size}, nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// packing is the state of one pack.
type packing struct {
	w       *writer
	head    header
	boots   map[journal.BootID]int
	current int // the boot of the newest event

	frame  frameWriter
	info   frameInfo // of the frame that is being filled
	frames []byte    // rows

	prev   journal.Hash // of the record before
	chain  uint32       // checksum of the hashes that regular records have of those before them
	marks  markWriter
	ends   endWriter
	addrs  addressWriter
	o      journal.Outline
	known  [][]byte // the record's addresses
	id     identity // the record's
	ident  tokens
	rest   tokens
	idents recent
	rests  recent
	record []byte // room

	earlier *journal.Earlier // what is known of the events before the first
	before  *file            // that begins with the same event and knows it; nil if there is none
}

// pack writes the file. before runs before what was collected is written: tests spoil it there.
func pack(tmp string, meta journal.Meta, first, last journal.Seq, source Source, o Options, before func(*packing)) (size int64, made proof, err error) {
	if err := removeIfThere(tmp); err != nil {
		return 0, proof{}, err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, proof{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Chmod(0o600); err != nil { // whatever the umask took away
		return 0, proof{}, err
	}
	w, err := newWriter(f, meta.ID)
	if err != nil {
		return 0, proof{}, err
	}
	p := &packing{w: w, boots: make(map[journal.BootID]int), head: header{format: formatVersion, minReader: formatVersion,
		id: meta.ID, network: meta.Network, node: meta.Node, first: first, last: last}}
	p.marks.synced = make(map[journal.BootID]mark)
	p.addrs.v4 = make([]uint64, 0, last-first+1) // most events have one
	if p.head.previous, err = contentBefore(filepath.Dir(tmp), meta.ID, first); err != nil {
		return 0, proof{}, err
	}
	defer func() {
		if p.before != nil {
			err = errors.Join(err, p.before.close())
		}
	}()
	if err := p.past(filepath.Dir(tmp), filepath.Base(tmp), &o); err != nil {
		return 0, proof{}, err
	}
	next := first
	for rec, err := range source(first - 1) {
		if err != nil {
			return 0, proof{}, err
		}
		if rec.Event.Seq != next || len(rec.Raw) == 0 {
			return 0, proof{}, fmt.Errorf("the source has event %d, not %d", rec.Event.Seq, next)
		}
		if err := p.event(next, rec.Raw); err != nil {
			return 0, proof{}, err
		}
		if next++; next > last {
			break
		}
	}
	if next <= last {
		return 0, proof{}, fmt.Errorf("the source ends before event %d", next)
	}
	before(p)
	if err := p.finish(o); err != nil {
		return 0, proof{}, err
	}
	st, err := f.Stat()
	if err != nil {
		return 0, proof{}, err
	}
	return st.Size(), proof{p.chain, p.head.after}, nil
}

// contentBefore returns the digest of the packed file that ends where a new one begins, zero if there is none.
func contentBefore(folder string, id journal.ID, first journal.Seq) (journal.Hash, error) {
	names, err := packedNames(folder)
	if err != nil {
		return journal.Hash{}, err
	}
	for _, name := range names {
		if _, last, _ := parseName(name); last+1 != first {
			continue
		}
		f, err := openFile(filepath.Join(folder, name), id)
		if err != nil {
			return journal.Hash{}, err
		}
		return f.head.content, f.close()
	}
	return journal.Hash{}, nil
}

// event packs the next event.
func (p *packing) event(seq journal.Seq, raw []byte) error {
	o := &p.o
	outlined := o.Read(raw) && o.Seq == seq
	if !outlined { // of another version: what is known of it is what stands in fixed places
		o.Seq, o.Kind = seq, 0
	}
	if p.frame.events() == 0 {
		p.info = frameInfo{prev: p.prev, identity: p.w.idents.next, from: o.Clock.Wall}
	}
	if seq == p.head.first {
		if outlined {
			copy(p.prev[:], raw[23:])
		}
		p.info.prev, p.head.before, p.head.from = p.prev, p.prev, o.Clock
	}
	boot := p.boot(o.Clock.Boot, seq)
	p.head.kinds[o.Kind]++
	p.marks.add(o, outlined, raw)
	if outlined { // what is not is a mark, and so never looked for
		p.known = appendKnown(p.known[:0], fieldAt(raw, o.Fields[journal.OutlineAddresses]))
		p.index(raw)
		if err := p.ends.add(p.w, o, boot, raw, p.known); err != nil {
			return err
		}
	}
	if err := p.put(outlined && p.regular(raw), boot, raw); err != nil {
		return err
	}
	p.info.to, p.head.to = o.Clock.Wall, o.Clock
	p.prev = journal.RecordHash(raw)
	if p.frame.events() == frameEvents {
		return p.endFrame()
	}
	return nil
}

// boot returns the number of an event's boot.
func (p *packing) boot(id journal.BootID, seq journal.Seq) int {
	all := &p.head.boots
	if p.current >= len(*all) || (*all)[p.current].ID != id {
		boot, ok := p.boots[id]
		if !ok {
			boot = len(*all)
			p.boots[id] = boot
			*all = append(*all, Boot{ID: id, First: seq})
		}
		p.current = boot
	}
	(*all)[p.current].Last = seq
	return p.current
}

// regular reports whether a record's bytes follow from what is kept of it.
func (p *packing) regular(raw []byte) bool {
	tail := raw[p.o.Tail : len(raw)-6]
	padded := len(tail) == 1 && tail[0] == 0xc0 && len(raw)%128 == 1
	return journal.Hash(raw[23:55]) == p.prev && p.o.Synced < p.o.Seq && (len(tail) == 0 || padded) && raw[1] == 0x9b+byte(len(tail))
}

// put adds an event to the frame.
func (p *packing) put(regular bool, boot int, raw []byte) error {
	w, o := &p.frame, &p.o
	if !regular {
		p.info.whole = true
		w.whole(raw)
		return nil
	}
	texts := len(w.text)
	shape, values, err := p.shape(raw)
	if err != nil {
		return err
	}
	names, address := namesAt(raw, o), fieldAt(raw, o.Fields[journal.OutlineAddresses])
	id := &p.id
	*id = identity{names: names, address: address}
	has := len(names)+len(address) > 0
	old := false
	if has && shape != 0 {
		if old = p.w.idents.find(id); !old {
			id.namespace, id.name, id.uid = splitPod(valueAt(raw, o.Fields[journal.OutlinePod]))
			_, id.container = splitString(valueAt(raw, o.Fields[journal.OutlineContainerID]))
			if err := p.identity(raw, id); err != nil {
				return err
			}
		}
	}
	if shape == 0 || has && !old && id.template == 0 { // no room for more templates
		w.text = w.text[:texts]
		return p.put(false, boot, raw)
	}
	p.chain = crc32c.Update(p.chain, p.prev[:])
	w.cols[colShape] = append(w.cols[colShape], uint64(shape))
	w.times(o, boot)
	w.identity(has, !old, uint64(p.w.idents.next-id.number))
	w.raw = append(w.raw, values...)
	if !has || old {
		return nil
	}
	p.w.idents.filter.identity(id.container, id.namespace, id.name, id.uid)
	return p.w.identity(id)
}

// shape returns the template of what a record has beside its identity, 0 if there is no room for it, and the bytes for its holes,
// which are good until the next record. Texts go to the frame.
func (p *packing) shape(raw []byte) (number uint32, values []byte, err error) {
	o, from := &p.o, afterIdentity(raw, &p.o)
	kind, synchronised := byte(o.Kind), asByte(o.Clock.Synchronised)
	slot := p.rests.slot(restHash(o, raw, from))
	if slot.hasHead(kind, synchronised) && p.rests.match(slot, fieldAt(raw, o.Fields[journal.OutlineTraceParent]), raw[from:o.Tail], p.known) {
		return slot.number, p.rests.vars, nil
	}
	p.rest.text = &p.frame.text
	p.rest.reset(kind, synchronised)
	p.rest.rest(raw, o, p.known)
	number, err = p.w.template(p.rest.done(), slot)
	return number, p.rest.vars, err
}

// identity finds the template of a new identity and the bytes for its holes.
func (p *packing) identity(raw []byte, id *identity) (err error) {
	slot := p.idents.slot(identityHash(id.namespace, id.name, len(id.container)))
	if p.idents.match(slot, id.names, id.address, nil) {
		id.template, id.values = slot.number, p.idents.vars
		return nil
	}
	p.ident.identity(raw, &p.o)
	id.template, err = p.w.template(p.ident.done(), slot)
	id.values = p.ident.vars
	return err
}

func asByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// fieldAt returns a field with its key, valueAt without; nil if it isn't there.
func fieldAt(raw []byte, s journal.Span) []byte {
	if s.End == 0 {
		return nil
	}
	return raw[s.Start-1 : s.End]
}

func valueAt(raw []byte, s journal.Span) []byte { return raw[s.Start:s.End] }

// namesAt returns the fields of the identity's first half: they stand side by side.
func namesAt(raw []byte, o *journal.Outline) []byte {
	start, end := 0, 0
	for field := 1; field <= 4; field++ {
		s := o.Fields[field]
		if s.End != 0 && end == 0 {
			start = s.Start - 1
		}
		end = max(end, s.End)
	}
	return raw[start:end]
}

// index notes which addresses the frame has: those by which a record is found.
func (p *packing) index(raw []byte) {
	frame := len(p.frames) / frameRow
	for _, ip := range p.known {
		p.addrs.add(ip, frame)
	}
	eachRequested(&p.o, raw, func(ip []byte) { p.addrs.add(ip, frame) })
}

// eachIndexed calls fn with the addresses by which a record is found.
func eachIndexed(o *journal.Outline, raw []byte, fn func(ip []byte)) {
	eachAddress(fieldAt(raw, o.Fields[journal.OutlineAddresses]), fn)
	eachRequested(o, raw, fn)
}

// eachRequested calls fn with the addresses that were asked for.
func eachRequested(o *journal.Outline, raw []byte, fn func(ip []byte)) {
	if b := valueAt(raw, o.Fields[journal.OutlineRequested]); len(b) > 0 {
		for at := journal.SkipHead(b); at >= 0 && at+2 < len(b); at = journal.SkipValue(b, at) {
			fn(b[at+2 : min(len(b), at+2+int(b[at+1]))])
		}
	}
}

// endFrame writes the frame that is full, or the last one.
func (p *packing) endFrame() error {
	plain, encoder := p.frame.encode(), p.w.fast
	if len(p.frame.text) > 0 {
		encoder = p.w.zstd
	}
	p.w.room = encoder.EncodeAll(plain, p.w.room[:0])
	p.record = binary.AppendUvarint(p.record[:0], uint64(len(p.w.room)))
	p.record = append(append(p.record, p.w.room...), p.frame.raw...)
	c, err := p.w.chunk(p.record)
	p.info.chunk = c
	p.frames = p.info.append(p.frames)
	p.frame.reset()
	return err
}

// finish writes what is left, the tables, and the footer.
func (p *packing) finish(o Options) error {
	w := p.w
	if p.frame.events() > 0 {
		if err := p.endFrame(); err != nil {
			return err
		}
	}
	p.head.after = p.prev
	err := w.endBlock()
	if err == nil {
		err = w.endFilter()
	}
	if err == nil {
		err = w.endTemplates()
	}
	if err != nil {
		return err
	}
	marks, err := w.writeMarks(p.marks.finish(), p.boots)
	if err != nil {
		return err
	}
	if err := p.ends.flush(w); err != nil {
		return err
	}
	addresses, err := p.addrs.write(w.compressed)
	if err != nil {
		return err
	}
	keyframes, err := p.keyframes(o.Keyframes)
	if err != nil {
		return err
	}
	earlier, err := w.earlier(p.earlier)
	if err != nil {
		return err
	}
	for _, s := range []struct {
		number int
		rows   []byte
	}{{sectionFrames, p.frames}, {sectionIdentities, w.idents.rows}, {sectionTemplates, w.templates.rows},
		{sectionMarks, marks}, {sectionAddresses, addresses}, {sectionFilters, w.idents.filter.rows}, {sectionKeyframes, keyframes},
		{sectionEnds, p.ends.rows}, {sectionEarlier, earlier}} {
		if s.number == sectionEarlier && p.earlier == nil {
			continue
		}
		if err := w.section(s.number, s.rows); err != nil {
			return err
		}
	}
	return w.finish(&p.head)
}

// keyframes writes the snapshots that are at paths and returns the rows of their table.
func (p *packing) keyframes(paths []string) (rows []byte, err error) {
	given := false
	if len(paths) > 0 {
		held, err := p.heldBefore(paths)
		if err != nil {
			return nil, err
		}
		if given = held != nil; given {
			if err := held.Close(); err != nil {
				return nil, err
			}
		}
	}
	if !given {
		if rows, err = p.adopt(nil); err != nil {
			return nil, err
		}
	}
	for _, path := range paths {
		if rows, err = p.keyframe(rows, path); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// keyframe writes a snapshot and appends its rows.
func (p *packing) keyframe(rows []byte, path string) ([]byte, error) {
	snap, err := state.OpenSnapshot(path, p.head.id)
	if err != nil {
		return nil, err
	}
	seq, head := snap.Seq(), snap.Head()
	if err := snap.Close(); err != nil {
		return nil, err
	}
	if n := len(p.head.keyframes); n > 0 && p.head.keyframes[n-1].seq >= seq || seq+1 < p.head.first || seq > p.head.last ||
		seq+1 == p.head.first && head != p.head.before || seq == p.head.last && head != p.head.after {
		return nil, fmt.Errorf("snapshot %s of event %d is not one of events %d to %d, in order", path, seq, p.head.first, p.head.last)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return p.keyframeFrom(rows, f, seq)
}

// keyframeFrom writes the snapshot that r has and appends its rows.
func (p *packing) keyframeFrom(rows []byte, r io.Reader, seq journal.Seq) ([]byte, error) {
	k := keyframe{seq: seq}
	for number, b := uint32(0), make([]byte, keyframeChunk); ; number++ {
		n, err := io.ReadFull(r, b)
		if n > 0 {
			c, err := p.w.compressed(b[:n])
			if err != nil {
				return nil, err
			}
			rows = c.append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(rows, uint64(seq)), number))
			k.bytes += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			p.head.keyframes = append(p.head.keyframes, k)
			return rows, nil
		case err != nil:
			return nil, err
		}
	}
}

// proof is what the chain of hashes of the packed records came to. They are worked out once, from the source: what is read back
// is held against the source's bytes, and equal bytes have equal hashes.
type proof struct {
	chain uint32 // packing.chain
	after journal.Hash
}

// compare reads a packed file whole and holds each record against the source's.
func compare(path string, id journal.ID, first, last journal.Seq, source Source, want proof) error {
	f, err := openFileAs(path, id, first, last)
	if err != nil {
		return err
	}
	w := f.walk(first - 1)
	for rec, err := range source(first - 1) {
		if err != nil {
			return errors.Join(err, f.close())
		}
		w.b.compared = rec.Raw
		raw, _, err := w.next()
		if err == nil && !bytes.Equal(raw, rec.Raw) {
			err = fmt.Errorf("event %d is read back as another", rec.Event.Seq)
		}
		if err != nil {
			return errors.Join(err, f.close())
		}
		if rec.Event.Seq == last {
			break
		}
	}
	if w.seq != last+1 || w.b.chain != want.chain || f.head.after != want.after {
		return errors.Join(f.damaged(-1, first, errChain), f.close())
	}
	return errors.Join(f.Check(), f.close())
}
