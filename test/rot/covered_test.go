package rot_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// load has a writer load what follows base and says how many events it got.
func (s *tailStore) load(base journal.Seq) (got int, err error) {
	j, err := journal.Open(s.dir, time.Now().Add(time.Minute))
	if err != nil {
		return 0, err
	}
	defer j.Close()
	err = j.Load(base, s.hashes[base-1], func(ev *journal.Event) error {
		if ev.Kind == journal.KindRepair {
			return errors.New("something was cut")
		}
		got++
		return nil
	})
	return got, err
}

// TestCoveredLengths flips the bits of the lengths, and some others, of a newest segment that a snapshot covers in part. A call passes over those
// entries by their lengths alone, and nothing witnesses what follows: a length that lies must neither swallow
// an event nor pass for a torn tail. The last entry takes a power of two, so that one bit can reach over it.
func TestCoveredLengths(t *testing.T) {
	s := newTailStore(t, tempRoot(t))
	cases := 0
	for _, length := range []int{127, 254, 510} {
		for _, end := range []int{0, 40, 511} {
			if err := s.build(length, end); err != nil {
				t.Fatal(err)
			}
			for base := journal.Seq(1); base <= s.last; base++ {
				n, err := s.coverUpTo(base)
				if err != nil {
					t.Errorf("last record of %d bytes that ends at byte %d of its sector, snapshot of event %d: %v", length, end, base, err)
				}
				cases += n
			}
		}
	}
	t.Logf("%d flips", cases)
}

func (s *tailStore) coverUpTo(base journal.Seq) (n int, err error) {
	hurt := bytes.Clone(s.content)
	step := 61 + 9*nth()                  // of the bytes that are no length
	seq, from, to := journal.Seq(0), 0, 0 // of the entry that is damaged
	for at := range hurt {
		if at == to {
			seq, from = seq+1, to
			to = from + s.lengths[seq-1]
		}
		inLength := at < from+2
		if at%step != 0 && !inLength {
			continue
		}
		for bit := range 8 {
			hurt[at] ^= 1 << bit
			if err := s.coveredFlip(base, seq, int64(from), hurt, inLength); err != nil {
				return n, fmt.Errorf("flipped bit %d of byte %d, event %d: %w", bit, at, seq, err)
			}
			hurt[at] ^= 1 << bit
			n++
		}
	}
	return n, nil
}

// coveredFlip loads a segment in which one event is damaged.
func (s *tailStore) coveredFlip(base, seq journal.Seq, from int64, hurt []byte, inLength bool) error {
	err := errors.Join(s.witness(1), writeAt(s.on, hurt), s.on.Truncate(int64(len(hurt))))
	if err != nil {
		return err
	}
	got, err := s.load(base)
	if left, e := os.ReadFile(s.segment); e != nil || !bytes.Equal(left, hurt) {
		return fmt.Errorf("the segment was changed: %w", errors.Join(e, err))
	}
	if kept, e := filepath.Glob(filepath.Join(s.dir, "quarantine", "*")); e != nil || len(kept) > 0 {
		return fmt.Errorf("quarantine holds %q: %v", kept, e)
	}
	harmless := seq < base || seq == base && base < s.last // but for lengths, nobody looks at these
	var d *journal.CorruptionError
	switch {
	case err == nil && harmless && !inLength && got == int(s.last-base):
		return nil
	case err == nil:
		return fmt.Errorf("%d events were loaded, nothing was said", got)
	case !errors.As(err, &d) || d.File != s.segment || d.Seq != seq || d.Offset != from:
		return fmt.Errorf("got %w, want damage at event %d, byte %d", err, seq, from)
	case harmless && !inLength:
		return fmt.Errorf("got %w, of bytes that nobody needs", err)
	}
	return nil
}
