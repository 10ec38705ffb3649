package archive

import (
	"encoding/binary"
	"hash/fnv"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/leaselog/leaselog/journal"
)

// End is how a lease ended that may have been out of use before: by anything but the runtime's DEL, a boot, or the loss of the
// data folder. Those ends leave no doubt, or one that clocks alone tell.
type End struct {
	Seq    journal.Seq
	Clock  journal.Clock // without what the kernel says of it
	Kind   journal.Kind
	Reason journal.Reason
	IP     netip.Addr
	Start  journal.Seq // the event that gave the lease; 0 if that is an event before Since
	Since  journal.Seq
	Owner  uint64 // OwnerHash of the container ID
}

// OwnerHash is what an End tells of its owner. Two owners may have the same.
func OwnerHash(containerID string) uint64 { return ownerHash([]byte(containerID)) }

func ownerHash(id []byte) uint64 {
	h := fnv.New64a()
	h.Write(id) // never fails
	return h.Sum64()
}

// doubtful reports whether an end of this reason is an End.
func doubtful(kind journal.Kind, reason journal.Reason) bool {
	switch kind {
	case journal.KindDel, journal.KindRelease:
	default:
		return false
	}
	switch reason {
	case 0:
		return kind == journal.KindRelease
	case journal.ReasonDel, journal.ReasonReboot, journal.ReasonWiped:
		return false
	}
	return true
}

// Ends returns the Ends after an event, in order. It ends with an error as Records does. The result is for one walk.
func (r *Reader) Ends(after journal.Seq) iter.Seq2[End, error] {
	return func(yield func(End, error) bool) {
		var loose looseEnds
		walk := r.read(after, walker{
			segments: func(after journal.Seq) iter.Seq2[journal.Record, error] { return r.j.Records(after) },
			packed: func(f *file, after journal.Seq, _ func(journal.Record) error) error {
				loose = looseEnds{}
				return f.ends(after, func(e *End) error {
					if e.Seq <= r.cov.Durable && !yield(*e, nil) {
						return errStopped
					}
					return nil
				})
			},
		})
		for rec, err := range walk {
			if err != nil {
				yield(End{}, err)
				return
			}
			for _, e := range loose.event(&rec.Event) {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// looseEnds finds Ends among the events of segments.
type looseEnds struct {
	since  journal.Seq // the first event
	starts map[netip.Addr]journal.Seq
}

func (l *looseEnds) event(ev *journal.Event) (ends []End) {
	if l.starts == nil {
		*l = looseEnds{ev.Seq, make(map[netip.Addr]journal.Seq)}
	}
	switch ev.Kind {
	case journal.KindAdd, journal.KindImport:
		for _, a := range ev.Addresses {
			l.starts[a.IP] = ev.Seq
		}
	case journal.KindDel, journal.KindRelease:
		for _, a := range ev.Addresses {
			if doubtful(ev.Kind, ev.Reason) {
				ends = append(ends, End{Seq: ev.Seq, Clock: ev.Clock, Kind: ev.Kind, Reason: ev.Reason, IP: a.IP,
					Start: l.starts[a.IP], Since: l.since, Owner: OwnerHash(ev.ContainerID)})
			}
			delete(l.starts, a.IP)
		}
	case journal.KindReset:
		clear(l.starts)
	}
	return ends
}

// endWriter finds the Ends of a file.
type endWriter struct {
	starts startTable
	rows   []byte
	b      []byte
	n      int
	first  journal.Seq // in b
	before journal.Seq
}

// add looks at the next event, which has these addresses. What has no outline is a landmark of a later version, which ends any answer.
func (e *endWriter) add(w *writer, o *journal.Outline, boot int, raw []byte, addresses [][]byte) error {
	if o.Kind == journal.KindReset {
		e.starts.clear()
	}
	starts := o.Kind == journal.KindAdd || o.Kind == journal.KindImport
	if !starts && o.Kind != journal.KindDel && o.Kind != journal.KindRelease {
		return nil
	}
	for _, b := range addresses {
		switch {
		case len(b) != 4 && len(b) != 16: // no address: a record that only decoding tells to be impossible
			continue
		case starts:
			e.starts.set(b, o.Seq)
			continue
		}
		if reason := journal.Reason(o.Number(raw, journal.OutlineReason)); doubtful(o.Kind, reason) {
			if err := e.end(w, o, boot, reason, b, raw); err != nil {
				return err
			}
		}
		e.starts.set(b, 0)
	}
	return nil
}

// startTable says with which event the lease of an address began.
type startTable struct {
	v4 map[uint32]journal.Seq
	v6 map[netip.Addr]journal.Seq
}

func (t *startTable) clear() {
	clear(t.v4)
	clear(t.v6)
}

// set notes a start; 0 forgets it.
func (t *startTable) set(ip []byte, seq journal.Seq) {
	if t.v4 == nil {
		t.v4, t.v6 = make(map[uint32]journal.Seq), make(map[netip.Addr]journal.Seq)
	}
	key4, key6 := startKey(ip)
	switch {
	case key6.IsValid() && seq == 0:
		delete(t.v6, key6)
	case key6.IsValid():
		t.v6[key6] = seq
	case seq == 0:
		delete(t.v4, key4)
	default:
		t.v4[key4] = seq
	}
}

// of returns where the lease of an address began, 0 if that is not known.
func (t *startTable) of(ip []byte) journal.Seq {
	key4, key6 := startKey(ip)
	if key6.IsValid() {
		return t.v6[key6]
	}
	return t.v4[key4]
}

// startKey returns what an address, which has 4 or 16 bytes, is found by: one of the two.
func startKey(ip []byte) (v4 uint32, v6 netip.Addr) {
	if len(ip) == 4 {
		return binary.BigEndian.Uint32(ip), netip.Addr{}
	}
	v6, _ = netip.AddrFromSlice(ip)
	return 0, v6
}

// end appends an End: how far its event is from that of the one before, kind, reason, number of the boot, wall and boot-time
// clock, length of the address and the address, how many events ago the lease began or 0, and the hash of its owner.
func (e *endWriter) end(w *writer, o *journal.Outline, boot int, reason journal.Reason, ip, raw []byte) error {
	if e.n == 0 {
		e.first, e.before = o.Seq, o.Seq
	}
	b := binary.AppendUvarint(e.b, uint64(o.Seq-e.before))
	b = binary.AppendUvarint(append(b, byte(o.Kind), byte(reason)), uint64(boot))
	b = binary.BigEndian.AppendUint64(b, uint64(o.Clock.Wall))
	b = binary.BigEndian.AppendUint64(b, uint64(o.Clock.BootTime))
	b = append(append(b, byte(len(ip))), ip...)
	ago := uint64(0)
	if start := e.starts.of(ip); start != 0 {
		ago = uint64(o.Seq - start)
	}
	_, container := splitString(valueAt(raw, o.Fields[journal.OutlineContainerID]))
	e.b = binary.BigEndian.AppendUint64(binary.AppendUvarint(b, ago), ownerHash(container))
	e.before = o.Seq
	if e.n++; e.n < endsPerChunk {
		return nil
	}
	return e.flush(w)
}

const endsPerChunk = 1024

func (e *endWriter) flush(w *writer) error {
	if e.n == 0 {
		return nil
	}
	c, err := w.compressed(e.b)
	e.rows = c.append(binary.BigEndian.AppendUint64(e.rows, uint64(e.first)))
	e.b, e.n = e.b[:0], 0
	return err
}

// ends yields the Ends after an event.
func (f *file) ends(after journal.Seq, yield func(*End) error) error {
	rows, err := f.table(sectionEnds, markRow)
	if err != nil {
		return err
	}
	for i := 0; i < len(rows); i += markRow {
		if i+markRow < len(rows) && seqOf(rows[i+markRow:]) <= after {
			continue
		}
		c := readChunk(rows[i+8:])
		b, err := f.unpack(c)
		if err != nil {
			return err
		}
		ends, err := f.readEnds(b, seqOf(rows[i:]))
		if err != nil {
			return f.damaged(c.offset, f.head.first, err)
		}
		for k := range ends {
			if ends[k].Seq <= after {
				continue
			}
			if err := yield(&ends[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// readEnds reads a chunk of Ends that begins with an event.
func (f *file) readEnds(b []byte, first journal.Seq) ([]End, error) {
	var ends []End
	r := numbers{b: b}
	for seq := first; len(r.b) > 0; {
		seq += journal.Seq(r.number())
		head := r.take(2)
		boot := r.number()
		clocks := r.take(17)
		if r.err != nil || boot >= uint64(len(f.boots)) {
			return nil, errShape
		}
		ip, ok := netip.AddrFromSlice(r.take(int(clocks[16])))
		ago := r.number()
		owner := r.take(8)
		if r.err != nil || !ok || ago > uint64(seq-f.head.first) {
			return nil, errShape
		}
		e := End{Seq: seq, Kind: journal.Kind(head[0]), Reason: journal.Reason(head[1]), IP: ip.Unmap(), Since: f.head.first,
			Clock: journal.Clock{Wall: int64(binary.BigEndian.Uint64(clocks)), BootTime: int64(binary.BigEndian.Uint64(clocks[8:])),
				Boot: f.boots[boot]}, Owner: binary.BigEndian.Uint64(owner)}
		if ago != 0 {
			e.Start = seq - journal.Seq(ago)
		}
		ends = append(ends, e)
	}
	return ends, r.err
}

// HasKind reports whether packed files have events of a kind.
func (r *Reader) HasKind(kind journal.Kind) bool {
	return slices.ContainsFunc(r.files, func(f *file) bool { return f.head.kinds[kind] > 0 })
}

// Clock returns the clock of an event.
func (r *Reader) Clock(seq journal.Seq) (journal.Clock, error) {
	if s := r.next(seq); s.file != nil {
		raw, _, err := s.file.walk(seq - 1).next()
		if err != nil {
			return journal.Clock{}, err
		}
		var o journal.Outline
		if o.Read(raw) {
			return o.Clock, nil
		}
	}
	for rec, err := range r.Records(seq - 1) {
		return rec.Event.Clock, err
	}
	return journal.Clock{}, r.missing(seq, seq)
}

// Files returns what tells in which file an event stands, by its name below the store's folder: what Record.File is. It is
// "" if that is not known. For an event that was pruned it is the file that tells what was held then.
func (r *Reader) Files() (func(journal.Seq) string, error) {
	type segment struct {
		first journal.Seq
		name  string
	}
	var all []segment
	for _, folder := range []string{folderName, "journal"} {
		if r.j == nil {
			break
		}
		entries, err := os.ReadDir(filepath.Join(r.dir, folder))
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		for _, e := range entries {
			if n, err := strconv.ParseUint(e.Name(), 10, 64); err == nil && journal.IsSegmentName(e.Name()) {
				all = append(all, segment{journal.Seq(n), filepath.Join(folder, e.Name())})
			}
		}
	}
	gone, err := r.pruned()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b segment) int { return int(int64(a.first) - int64(b.first)) })
	return func(seq journal.Seq) string {
		if gone != nil && gone.First <= seq && seq <= gone.Last {
			seq = gone.Last + 1 // what is known of it stands there
		}
		if s := r.next(seq); s.file != nil {
			return r.nameOf(s.file)
		}
		i, ok := slices.BinarySearchFunc(all, seq, func(s segment, seq journal.Seq) int { return int(int64(s.first) - int64(seq)) })
		if !ok {
			i--
		}
		if i < 0 {
			return ""
		}
		return all[i].name
	}, nil
}
