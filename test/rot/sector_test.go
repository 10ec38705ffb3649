package rot_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// tailStore is a store whose one segment ends in a record of a chosen length at a chosen place.
type tailStore struct {
	dir, segment string
	id           journal.ID
	genesis      []byte // its entry
	lock         []byte
	lockOn, on   *os.File // the lock file and the segment, open for writing

	content []byte // of the segment
	from    int    // where the last entry begins
	prefix  int    // bytes of its length
	last    journal.Seq
	hashes  []journal.Hash // of the records
	lengths []int          // of the entries
}

func newTailStore(t *testing.T, historyDir string) *tailStore {
	t.Helper()
	err := journal.Create(historyDir, journal.NewStore{Network: "net", DataDir: historyDir, Version: "rot",
		Claim: func(journal.ID) (func(), error) { return func() {}, nil }}, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	s := &tailStore{dir: filepath.Join(historyDir, "net")}
	s.segment = filepath.Join(s.dir, "journal", fmt.Sprintf("%020d", 1))
	meta, err := journal.ReadMeta(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	s.id = meta.ID
	if s.genesis, err = os.ReadFile(s.segment); err != nil {
		t.Fatal(err)
	}
	if s.lock, err = os.ReadFile(filepath.Join(s.dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if s.lockOn, err = os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	if s.on, err = os.OpenFile(s.segment, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.lockOn.Close(); s.on.Close() })
	return s
}

// recordOf returns the record of event seq with exactly n bytes. Where n is one more than a multiple of 128 it is one
// that would have been that multiple but for its padding.
func (s *tailStore) recordOf(seq journal.Seq, n int) ([]byte, error) {
	for _, name := range []string{"", "e"} { // a string's length takes more bytes from 32 and 256 on, which leaves out some lengths
		for k := max(n-140, 1); k <= n; k++ {
			ev := journal.Event{Seq: seq, Synced: seq - 1, Prev: s.hashes[seq-2], Kind: journal.KindDel, IfName: name,
				NetNS: strings.Repeat("n", k)}
			record, err := journal.AppendRecord(nil, s.id, &ev)
			if err != nil {
				return nil, err
			}
			// Where the rule did not hold, the bare multiple would be what is tried.
			if len(record) == n && (n%128 != 1 || record[1] == 0x9c) || n%128 == 1 && len(record) == n-1 {
				return record, nil
			}
		}
	}
	return nil, fmt.Errorf("no record has %d bytes", n)
}

func (s *tailStore) append(n int) error {
	s.last++
	record, err := s.recordOf(s.last, n)
	if err != nil {
		return err
	}
	s.hashes = append(s.hashes, journal.RecordHash(record))
	s.from = len(s.content)
	s.content = binary.AppendUvarint(s.content, uint64(len(record)))
	s.prefix = len(s.content) - s.from
	s.content = append(s.content, record...)
	s.lengths = append(s.lengths, len(s.content)-s.from)
	return nil
}

// build fills the segment so that its last record has n bytes and ends at this place in a sector.
func (s *tailStore) build(n, end int) error {
	for _, first := range []int{180, 181} {
		s.content, s.last, s.hashes = bytes.Clone(s.genesis), 1, []journal.Hash{journal.RecordHash(s.genesis[2:])}
		s.lengths = []int{len(s.genesis)}
		if err := s.append(first); err != nil {
			return err
		}
		filler := 150
		for (len(s.content)+2+filler+len(binary.AppendUvarint(nil, uint64(n)))+n)%sector != end {
			filler++
		}
		if filler%128 == 0 {
			continue
		}
		if err := errors.Join(s.append(filler), s.append(n)); err != nil {
			return err
		}
		return nil
	}
	return errors.New("no lengths lead there")
}

// witness has the marker, as it is after a reboot, name this event as acknowledged.
func (s *tailStore) witness(seq journal.Seq) error {
	b := s.lock
	binary.BigEndian.PutUint64(b[markerDurable:], uint64(seq))
	copy(b[markerHash:], s.hashes[seq-1][:])
	b[markerBoot] ^= 0xff // another boot, or the one after that
	if boot := journal.CurrentBoot(); bytes.Equal(b[markerBoot:markerBoot+16], boot[:]) {
		b[markerBoot+1] ^= 0xff
	}
	binary.BigEndian.PutUint32(b[markerSum:], crc32.Checksum(b[:markerSum-1], castagnoli))
	return errors.Join(s.lockOn.Truncate(markerBytes), writeAt(s.lockOn, b))
}

func writeAt(f *os.File, b []byte) error {
	_, err := f.WriteAt(b, 0)
	return err
}

// finding is what a reader makes of the end of a segment.
type finding int

const (
	accepted finding = iota
	torn
	damaged
)

var findingNames = [...]string{"accepted", "a torn tail", "damage"}

// find has a reader judge the segment with this content. It uses the code that decides for writers too.
func (s *tailStore) find(content []byte) (finding, error) {
	if err := errors.Join(writeAt(s.on, content), s.on.Truncate(int64(len(content)))); err != nil {
		return 0, err
	}
	r, err := journal.OpenReader(s.dir)
	if err != nil {
		return 0, err
	}
	var d *journal.CorruptionError
	err = r.CheckTail()
	switch c := r.Coverage(); {
	case err == nil && c.Durable == s.last && c.Torn == 0:
		return accepted, nil
	case err == nil && c.Durable == s.last-1 && c.Torn == int64(len(content)-s.from):
		return torn, nil
	case !errors.As(err, &d) || d.File != s.segment || d.Seq != s.last || d.Offset != int64(s.from):
		return 0, fmt.Errorf("%v (%d events, %d bytes torn), want damage at event %d, byte %d", err, c.Durable, c.Torn, s.last, s.from)
	}
	return damaged, nil
}

// want is find with what has to come of it.
func (s *tailStore) want(want finding, content []byte, what string, n int) error {
	got, err := s.find(content)
	if err == nil && got != want {
		err = fmt.Errorf("is taken for %s, want %s", findingNames[got], findingNames[want])
	}
	if err != nil {
		return fmt.Errorf("%s %d: %w", what, n, err)
	}
	return nil
}

// cuts shortens the last record to each length. Nobody acknowledged it, or the marker says that somebody did.
func (s *tailStore) cuts(want finding) (n int, err error) {
	for to := s.from + 1; to < len(s.content); to++ {
		if err := s.want(want, s.content[:to], "cut to", to); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// sectors loses each sector that the last record reaches into: what stood there before remains.
func (s *tailStore) sectors(want finding) (n int, err error) {
	for at := s.from; at < len(s.content); {
		end := min((at/sector+1)*sector, len(s.content))
		hurt := bytes.Clone(s.content)
		clear(hurt[at:end])
		if err := s.want(want, hurt, "zeros from", at); err != nil {
			return n, err
		}
		n++
		at = end
	}
	return n, nil
}

// flips turns bits of the last record: all, or those of its length and of what is within 9 bytes of a sector's border.
func (s *tailStore) flips(all bool) (n int, err error) {
	hurt := bytes.Clone(s.content)
	for at := s.from; at < len(hurt); at++ {
		near := min(at%sector, sector-1-at%sector) < 9
		if !all && !near && at >= s.from+s.prefix {
			continue
		}
		for bit := range 8 {
			hurt[at] ^= 1 << bit
			if err := s.want(damaged, hurt, "flipped bit of byte", at); err != nil {
				return n, err
			}
			hurt[at] ^= 1 << bit
			n++
		}
	}
	return n, nil
}

// sectorCase is a record's length and what is tried of it at a place.
type sectorCase struct {
	length int
	cuts   bool
	flips  bool
	border bool // all bits where the record ends near a border
}

// sectorCases has the shortest lengths, those around multiples of 128, and some that span three sectors.
var sectorCases = []sectorCase{
	{length: 110}, {length: 126}, {length: 127}, {length: 129, cuts: true, flips: true, border: true}, {length: 130},
	{length: 254}, {length: 255, cuts: true}, {length: 257, flips: true}, {length: 258}, {length: 383}, {length: 385},
	{length: 510}, {length: 511}, {length: 513}, {length: 514}, {length: 641}, {length: 1151}, {length: 1153},
}

// try runs all of a case with the last record ending at one place of a sector.
func (s *tailStore) try(c sectorCase, end int) (n int, err error) {
	if err := s.build(c.length, end); err != nil {
		return 0, err
	}
	count := func(k int, err error) error {
		n += k
		return err
	}
	if err := errors.Join(s.witness(s.last), s.want(accepted, s.content, "whole", 0), count(s.sectors(damaged))); err != nil {
		return n, fmt.Errorf("acknowledged: %w", err)
	}
	if c.flips && end%16 == 0 {
		if err := count(s.flips(false)); err != nil {
			return n, fmt.Errorf("acknowledged: %w", err)
		}
	}
	if err := errors.Join(s.witness(s.last-1), s.want(accepted, s.content, "whole", 0), count(s.sectors(torn))); err != nil {
		return n, err
	}
	if c.flips {
		if err := count(s.flips(c.border && (end < 12 || end > sector-12))); err != nil {
			return n, err
		}
	}
	if !c.cuts {
		return n, nil
	}
	return n, errors.Join(count(s.cuts(torn)), s.repaired(end))
}

// repaired has a writer cut the tail where a cut, or a lost sector, leaves little or much of the last record.
func (s *tailStore) repaired(end int) error {
	to := s.from + 1 + end%(len(s.content)-s.from-1)
	if err := errors.Join(s.witness(s.last-1), writeAt(s.on, s.content), s.on.Truncate(int64(to))); err != nil {
		return err
	}
	j, err := journal.Open(s.dir, time.Now().Add(time.Minute))
	if err != nil {
		return err
	}
	defer j.Close()
	var told []journal.Cut
	err = j.Load(0, journal.Hash{}, func(ev *journal.Event) error {
		if ev.Kind == journal.KindRepair {
			told = append(told, journal.Cut{File: strings.Clone(ev.Cut.File), Offset: ev.Cut.Offset, Bytes: ev.Cut.Bytes,
				Quarantine: strings.Clone(ev.Cut.Quarantine), Data: ev.Cut.Data})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writer, cut to %d: %w", to, err)
	}
	if len(told) != 1 || told[0].Offset != int64(s.from) || told[0].Bytes != int64(to-s.from) || j.Last() != s.last {
		return fmt.Errorf("writer, cut to %d: told %+v", to, told)
	}
	kept := filepath.Join(s.dir, "quarantine", told[0].Quarantine)
	got, err := os.ReadFile(kept)
	if err != nil || !bytes.Equal(got, s.content[s.from:to]) {
		return fmt.Errorf("writer, cut to %d: quarantine holds %d bytes: %v", to, len(got), err)
	}
	return os.Remove(kept)
}

// TestSectorBorders puts the last record at every place relative to the disk's sectors. Where the disk lost a part
// of an append it is a torn tail, and where a bit flipped it is none, whatever lies at the border.
func TestSectorBorders(t *testing.T) {
	root := tempRoot(t)
	var next, done atomic.Int64
	var failed atomic.Bool
	var wg sync.WaitGroup
	nth := nth()
	if nth > 1 {
		t.Logf("a sample: every %d. place, and those where the record begins at a border", nth)
	}
	for k := range runtime.GOMAXPROCS(0) {
		s := newTailStore(t, filepath.Join(root, fmt.Sprint(k)))
		wg.Go(func() {
			for !failed.Load() {
				i := int(next.Add(1) - 1)
				if i >= sector*len(sectorCases) {
					return
				}
				c, end := sectorCases[i/sector], i%sector
				if begin := (end + 4*sector - c.length - 1) % sector; i%nth != 0 && begin > 2 {
					continue
				}
				n, err := s.try(c, end)
				if done.Add(int64(n)); err != nil {
					t.Errorf("record of %d bytes that ends at byte %d of its sector: %v", c.length, end, err)
					failed.Store(true)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d tails", done.Load())
}
