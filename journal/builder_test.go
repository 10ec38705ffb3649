package journal_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
)

// builtFrom begins a store that repeats another one's first event.
func builtFrom(t *testing.T, historyDir string, genesis journal.Event) *journal.Builder {
	t.Helper()
	b, err := journal.NewBuilder(historyDir, journal.NewStore{Network: "net", DataDir: "/data", Version: genesis.Version,
		Claim: func(journal.ID) (func(), error) { return func() {}, nil }},
		&journal.Event{Clock: genesis.Clock, Origin: journal.Origin{Journal: genesis.Origin.Journal, Node: genesis.Origin.Node}}, soon())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// eventsOf returns a store's events and gives up its lock.
func eventsOf(t *testing.T, dir string) []journal.Event {
	t.Helper()
	j, events, err := tryOpen(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return events
}

// TestBuilderRepeatsAppend builds a store of the batches that another one was written by: every file of
// both is the same, but for the lock file, which names itself.
func TestBuilderRepeatsAppend(t *testing.T) {
	dir := newStore(t)
	j, first := open(t, dir)
	sizes := []int{1}
	for n := 0; n < 2000; n++ {
		batch := []*journal.Event{del(n)}
		if n%7 == 0 {
			batch = append(batch, del(n+10000), del(n+20000))
		}
		if n%50 == 0 { // optional fields that don't fit
			batch[0].NetNS = strings.Repeat("n", 5000)
		}
		if err := j.Append(batch...); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(batch))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	events := eventsOf(t, dir)
	segments, err := os.ReadDir(filepath.Join(dir, "journal"))
	if err != nil || len(segments) < 5 {
		t.Fatalf("segments %v, %v", segments, err)
	}
	covered := events[0].Seq // the last event of the third segment, all of which goes
	for journal.SegmentName(covered+1) != segments[3].Name() {
		covered++
	}
	if _, err := journal.Archive(dir, covered, soon()); err != nil {
		t.Fatal(err)
	}

	b := builtFrom(t, filepath.Join(t.TempDir(), "history"), first[0])
	rest := events[1:]
	for _, n := range sizes[1:] {
		var batch []*journal.Event
		for i := range rest[:n] {
			ev := rest[i]
			ev.Seq, ev.Synced, ev.Prev = 0, 0, journal.Hash{}
			batch = append(batch, &ev)
		}
		rest = rest[n:]
		if err := b.Append(batch...); err != nil {
			t.Fatal(err)
		}
	}
	built := filepath.Join(filepath.Dir(filepath.Dir(b.SnapDir())), "net")
	if err := b.Finish(covered); err != nil {
		t.Fatal(err)
	}
	compareTrees(t, built, dir)
	if m, err := journal.InspectMarker(built); err != nil || m.ID != first[0].Origin.Journal || m.Durable != events[len(events)-1].Seq {
		t.Errorf("marker %+v, %v", m, err)
	}
	newest := filepath.Join("journal", segments[len(segments)-1].Name())
	if got, want := reserved(t, filepath.Join(built, newest)), reserved(t, filepath.Join(dir, newest)); got != want {
		t.Errorf("%d bytes are reserved for the newest segment, want %d", got, want)
	}
	reopened, again := open(t, built)
	if len(again) != len(events) || reopened.Head() != journal.RecordHash(lastRecord(t, built)) {
		t.Errorf("%d events, want %d", len(again), len(events))
	}
	if err := reopened.Append(del(1)); err != nil {
		t.Errorf("append to what was built: %v", err)
	}
}

// reserved returns how much room a file has on the disk.
func reserved(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// TestBuilderFillsSegments ends a segment at exactly its target, and not a byte beyond.
func TestBuilderFillsSegments(t *testing.T) {
	genesis := eventsOf(t, newStore(t))[0]
	for over := range 2 {
		b := builtFrom(t, t.TempDir(), genesis)
		raw, err := journal.AppendRecord(nil, b.ID(), &genesis)
		if err != nil {
			t.Fatal(err)
		}
		size := len(raw) + 2
		for size < journal.SegmentBytes+over {
			ev := fitting(t, b, min(1000, journal.SegmentBytes+over-size))
			if err := b.Append(ev); err != nil {
				t.Fatal(err)
			}
			raw, err := journal.AppendRecord(nil, b.ID(), ev)
			if err != nil {
				t.Fatal(err)
			}
			size += len(raw) + 2
		}
		if err := b.Append(del(1)); err != nil {
			t.Fatal(err)
		}
		last := b.Last()
		dir := filepath.Join(filepath.Dir(filepath.Dir(b.SnapDir())), "net")
		if err := b.Finish(0); err != nil {
			t.Fatal(err)
		}
		segments, err := os.ReadDir(filepath.Join(dir, "journal"))
		if want := journal.SegmentName(last - journal.Seq(over)); err != nil || len(segments) != 2 || segments[1].Name() != want {
			t.Errorf("%d bytes too many: segments %v, %v; want the second one to be %s", over, segments, err, want)
		}
	}
}

// fitting returns an event that takes so many bytes of a segment, or somewhat fewer if more than one is to fit.
func fitting(t *testing.T, b *journal.Builder, room int) *journal.Event {
	t.Helper()
	if room == 1000 {
		return &journal.Event{Kind: journal.KindDel, ContainerID: "c", NetNS: strings.Repeat("n", 500)}
	}
	for length := range room {
		ev := &journal.Event{Seq: b.Last() + 1, Synced: b.Last(), Kind: journal.KindDel, ContainerID: "c", NetNS: strings.Repeat("n", length)}
		raw, err := journal.AppendRecord(nil, b.ID(), ev)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw)+2 == room {
			return ev
		}
	}
	t.Fatalf("no event of %d bytes", room)
	return nil
}

func lastRecord(t *testing.T, dir string) []byte {
	t.Helper()
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	var raw []byte
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		raw = rec.Raw
	}
	return raw
}

func compareTrees(t *testing.T, got, want string) {
	t.Helper()
	archived := 0
	walk := func(root string, visit func(rel string, info fs.FileInfo)) {
		err := filepath.Walk(root, func(path string, info fs.FileInfo, err error) error {
			if err == nil {
				rel, _ := filepath.Rel(root, path)
				visit(rel, info)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]fs.FileMode{}
	walk(got, func(rel string, info fs.FileInfo) { seen[rel] = info.Mode() })
	walk(want, func(rel string, info fs.FileInfo) {
		mode, ok := seen[rel]
		delete(seen, rel)
		if !ok || mode != info.Mode() {
			t.Errorf("%s: mode %v, there: %v; want %v", rel, mode, ok, info.Mode())
			return
		}
		if info.IsDir() || rel == "lock" {
			return
		}
		if strings.HasPrefix(rel, "archive/") {
			archived++
		}
		if !bytes.Equal(read(t, filepath.Join(got, rel)), read(t, filepath.Join(want, rel))) {
			t.Errorf("%s differs", rel)
		}
	})
	for rel := range seen {
		t.Errorf("%s should not be there", rel)
	}
	if archived == 0 {
		t.Error("no segment was archived: the test shows nothing of that")
	}
}

func TestBuilderLeavesNothing(t *testing.T) {
	base := t.TempDir()
	events := eventsOf(t, newStore(t))
	boom := errors.New("no claim")
	cases := []struct {
		name string
		do   func(*journal.Builder) error
		want error
	}{
		{"discard", func(b *journal.Builder) error { return errors.Join(boom, b.Discard()) }, boom},
		{"claim fails", func(b *journal.Builder) error { return b.Finish(0) }, boom},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			history := filepath.Join(base, "a", "b")
			b, err := journal.NewBuilder(history, journal.NewStore{Network: "net",
				Claim: func(journal.ID) (func(), error) { return nil, boom }}, &events[0], soon())
			if err != nil {
				t.Fatal(err)
			}
			for n := range 500 { // more than a segment
				if err := b.Append(del(n)); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.do(b); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if left, err := os.ReadDir(base); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestBuilderKeepsWhatIsThere(t *testing.T) {
	dir := newStore(t)
	events := eventsOf(t, dir)
	before := read(t, filepath.Join(dir, "META"))
	genesis := events[0]
	_, err := journal.NewBuilder(filepath.Dir(dir), journal.NewStore{Network: "net"}, &genesis, soon())
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want %v", err, fs.ErrExist)
	}
	if !bytes.Equal(before, read(t, filepath.Join(dir, "META"))) {
		t.Error("META was changed")
	}
	if again := eventsOf(t, dir); len(again) != len(events) {
		t.Errorf("%d events, want %d", len(again), len(events))
	}
}

func TestBuilderRefusesTooLarge(t *testing.T) {
	events := eventsOf(t, newStore(t))
	b := builtFrom(t, t.TempDir(), events[0])
	defer b.Discard()
	head, last := b.Head(), b.Last()
	var batch []*journal.Event
	for n := range 400 {
		batch = append(batch, del(n))
	}
	for _, events := range [][]*journal.Event{batch, {{Kind: journal.KindDel, ContainerID: strings.Repeat("c", 5000)}}} {
		if err := b.Append(events...); !errors.Is(err, journal.ErrTooLarge) {
			t.Errorf("%d events: got %v, want %v", len(events), err, journal.ErrTooLarge)
		}
		if b.Head() != head || b.Last() != last {
			t.Errorf("%d events: last is %d, want %d", len(events), b.Last(), last)
		}
	}
}
