package replay_test

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// packer packs the archived segments of a store.
type packer struct {
	dir, folder string
	meta        journal.Meta
	segments    []string // in the archive, with their paths
	end         journal.Seq
	records     []journal.Record
	keyframe    string // a snapshot within what is packed
}

func newPacker(t *testing.T) *packer {
	t.Helper()
	p := &packer{}
	p.dir, p.folder = busyStore(t)
	r, err := journal.OpenReader(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	p.meta = r.Meta()
	p.segments = names(t, p.dir, "archive")
	n, err := strconv.ParseUint(filepath.Base(names(t, p.dir, "journal")[0]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	p.end = journal.Seq(n) - 1
	st := state.New()
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Event.Seq > p.end {
			break
		}
		p.records = append(p.records, rec)
		if err := st.Apply(&rec.Event); err != nil {
			t.Fatal(err)
		}
		if st.SetHead(journal.RecordHash(rec.Raw)); rec.Event.Seq == p.end/3 {
			if p.keyframe, err = state.WriteSnapshot(t.TempDir(), p.meta.ID, p.meta.Network, st); err != nil {
				t.Fatal(err)
			}
		}
	}
	return p
}

func (p *packer) source(after journal.Seq) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		for _, rec := range p.records[after:] {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// pack packs events, with the keyframe if that is of one of them.
func (p *packer) pack(t *testing.T, first, last journal.Seq) string {
	t.Helper()
	var o archive.Options
	if first <= p.end/3 && p.end/3 <= last {
		o.Keyframes = []string{p.keyframe}
	}
	packed, err := archive.Pack(filepath.Join(p.dir, "archive"), p.meta, first, last, p.source, o)
	if err != nil {
		t.Fatal(err)
	}
	return packed.Path
}

func (p *packer) removeSegments(t *testing.T) {
	t.Helper()
	for _, path := range p.segments {
		remove(t, path)
	}
}

// TestVerifyPacked damages packed files of a store whose archived segments are gone.
func TestVerifyPacked(t *testing.T) {
	p := newPacker(t)
	half := p.end / 2
	one, two := p.pack(t, 1, half), p.pack(t, half+1, p.end)
	p.removeSegments(t)
	clean, err := replay.Verify(p.dir, p.folder)
	if err != nil || !clean.Clean() || clean.Packed != 2 || len(clean.Findings) != 0 {
		t.Fatalf("undamaged: %+v, %v", clean, err)
	}
	snaps := names(t, p.dir, "snap")
	inSnap := func(change func()) func() {
		return func() {
			for _, s := range snaps {
				if err := os.Rename(s, s+".away"); err != nil {
					t.Fatal(err)
				}
			}
			change()
		}
	}
	for _, tt := range []struct {
		name     string
		damage   func()
		severity replay.Severity
		file     string
		first    journal.Seq
		what     string
	}{
		{"frame", func() { edit(t, one, flipAt(5000)) }, replay.SeverityHistory, one, 0, "checksum does not match"},
		{"second file's frame", func() { edit(t, two, flipAt(5000)) }, replay.SeverityHistory, two, 0, "checksum does not match"},
		{"frame that leases depend on", inSnap(func() { edit(t, two, flipAt(5000)) }), replay.SeverityDamage, two, 0, "checksum does not match"},
		{"footer", func() { edit(t, two, flipAt(-40)) }, replay.SeverityHistory, two, half + 1, "checksum does not match; events"},
		{"missing", func() { remove(t, two) }, replay.SeverityHistory, "journal", half + 1, "missing"},
		{"unfinished", func() { edit(t, one, func(b []byte) []byte { return b[:len(b)/2] }) }, replay.SeverityHistory, one, 1, "footer is wrong"},
		{"of another journal", func() {
			b, err := os.ReadFile(p.foreign(t, half))
			if err != nil {
				t.Fatal(err)
			}
			put(t, one, string(b))
		}, replay.SeverityHistory, one, 1, "belongs to journal"},
		{"keyframe of another state", func() { p.forged(t, half) }, replay.SeverityHistory, one, p.end / 3, "not what the events lead to"},
		{"keyframe's bytes", func() { edit(t, one, flipAt(-4000)) }, replay.SeverityHistory, one, p.end / 3, "keyframe: checksum"},
		{"another course", func() { p.course(t, half) }, replay.SeverityDamage, two, half + 1, "another hash"},
		{"of other files", func() { p.repacked(t, half) }, replay.SeverityHistory, two, half + 1, "does not continue"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer putBack(t, p.dir, one, two)()
			tt.damage()
			v, err := replay.Verify(p.dir, p.folder)
			if err != nil {
				t.Fatal(err)
			}
			file := tt.file
			if filepath.IsAbs(file) {
				file = filepath.Join("archive", filepath.Base(file))
			}
			if !slices.ContainsFunc(v.Findings, func(f replay.Finding) bool {
				return f.Severity == tt.severity && strings.HasPrefix(f.File, file) && strings.Contains(f.What, tt.what) &&
					(tt.first == 0 || f.First == tt.first) && f.Last >= f.First && f.Affects != "" && f.Do != ""
			}) {
				t.Errorf("got %+v, want %s of %s from event %d with %q", v.Findings, tt.severity, file, tt.first, tt.what)
			}
			for i := 1; i < len(v.Findings); i++ {
				f, before := v.Findings[i], v.Findings[i-1]
				if f.File == before.File && f.Offset >= 0 && f.Offset == before.Offset && f.First == before.Last+1 {
					t.Errorf("%+v goes on with %+v: one finding is enough", before, f)
				}
			}
		})
	}
	if v, err := replay.Verify(p.dir, p.folder); err != nil || len(v.Findings) != 0 {
		t.Errorf("everything put back: %+v, %v", v, err)
	}
}

// putBack keeps files and snapshots, and returns what puts them back.
func putBack(t *testing.T, dir string, paths ...string) func() {
	t.Helper()
	kept := map[string]string{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		kept[path] = string(b)
	}
	return func() {
		for path, b := range kept {
			put(t, path, b)
		}
		for _, s := range names(t, dir, "snap") {
			if err := os.Rename(s, strings.TrimSuffix(s, ".away")); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// forged packs the first file anew with a keyframe that claims another lease than the events gave.
func (p *packer) forged(t *testing.T, half journal.Seq) {
	t.Helper()
	b, err := os.ReadFile(p.keyframe)
	if err != nil {
		t.Fatal(err)
	}
	forgeSnapshot(t, p.keyframe)
	p.pack(t, 1, half)
	put(t, p.keyframe, string(b))
}

// course packs the second file anew with events that don't continue the first file's.
func (p *packer) course(t *testing.T, half journal.Seq) {
	t.Helper()
	was := slices.Clone(p.records)
	prev := journal.Hash{1}
	for i := int(half); i < len(p.records); i++ {
		ev := p.records[i].Event
		ev.Prev = prev
		raw, err := journal.AppendRecord(nil, p.meta.ID, &ev)
		if err != nil {
			t.Fatal(err)
		}
		prev = journal.RecordHash(raw)
		p.records[i] = journal.Record{Event: ev, Raw: raw}
	}
	p.pack(t, half+1, p.end)
	p.records = was
}

// repacked packs the second file anew behind a first one with other bytes than those that are put back.
func (p *packer) repacked(t *testing.T, half journal.Seq) {
	t.Helper()
	one := filepath.Join(p.dir, "archive", archive.Name(1, half))
	b, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Pack(filepath.Dir(one), p.meta, 1, half, p.source, archive.Options{}); err != nil {
		t.Fatal(err)
	}
	p.pack(t, half+1, p.end)
	put(t, one, string(b))
}

// foreign packs the events as another journal's.
func (p *packer) foreign(t *testing.T, half journal.Seq) string {
	t.Helper()
	q := &packer{dir: t.TempDir(), meta: p.meta}
	q.meta.ID[0] ^= 1
	for _, rec := range p.records[:half] {
		raw, err := journal.AppendRecord(nil, q.meta.ID, &rec.Event)
		if err != nil {
			t.Fatal(err)
		}
		q.records = append(q.records, journal.Record{Event: rec.Event, Raw: raw})
	}
	packed, err := archive.Pack(q.dir, q.meta, 1, half, q.source, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return packed.Path
}

// TestVerifyPackedTwice has segments and packed files hold the same events: what is damaged in one of them costs none.
func TestVerifyPackedTwice(t *testing.T) {
	p := newPacker(t)
	path := p.pack(t, 1, p.end)
	for _, tt := range []struct {
		name string
		path string
		at   int
		what string
	}{
		{"packed file", path, 5000, "segments have these events"},
		{"segment", p.segments[0], 5000, "has the event"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer putBack(t, p.dir, tt.path)()
			edit(t, tt.path, flipAt(tt.at))
			v, err := replay.Verify(p.dir, p.folder)
			if err != nil || len(v.Findings) != 1 || v.Events < int(p.end) {
				t.Fatalf("got %+v, %v, want one finding", v, err)
			}
			f := v.Findings[0]
			if f.Severity != replay.SeverityHistory || f.File != filepath.Join("archive", filepath.Base(tt.path)) || f.Offset < 0 ||
				!strings.Contains(f.What, tt.what) {
				t.Errorf("got %+v, want %q", f, tt.what)
			}
		})
	}
}

func clean(t *testing.T, p *packer) *replay.Verified {
	t.Helper()
	v, err := replay.Verify(p.dir, p.folder)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestVerifyWhilePacked finds nothing while segments are packed, and packed files replaced by longer ones.
func TestVerifyWhilePacked(t *testing.T) {
	p := newPacker(t)
	var firsts []journal.Seq
	for _, path := range p.segments {
		n, err := strconv.ParseUint(filepath.Base(path), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		firsts = append(firsts, journal.Seq(n))
	}
	firsts = append(firsts, p.end+1)
	done := make(chan struct{})
	started := make(chan struct{})
	go func() {
		defer close(done)
		<-started
		before := ""
		for i := range p.segments {
			path := p.pack(t, 1, firsts[i+1]-1)
			remove(t, p.segments[i])
			if before != "" {
				remove(t, before)
			}
			before = path
		}
	}()
	looks := 0
	for running := true; running; looks++ {
		if looks == 1 {
			close(started)
		}
		select {
		case <-done:
			running = false
		default:
		}
		if v, err := replay.Verify(p.dir, p.folder); err != nil || !v.Clean() || !v.Live || v.Events < int(p.end) {
			t.Errorf("look %d: got %+v, %v", looks, v, err)
		}
	}
	if looks < 3 || clean(t, p).Packed != 1 {
		t.Errorf("%d looks, %+v: not what this test is about", looks, fmt.Sprint(clean(t, p)))
	}
}

// TestCountPacked counts packed events as those of segments.
func TestCountPacked(t *testing.T) {
	p := newPacker(t)
	want := count(t, p.dir, replay.Counts{})
	p.pack(t, 1, p.end)
	p.removeSegments(t)
	past, err := archive.Open(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer past.Close()
	got, err := replay.Count(past, replay.Counts{})
	if err != nil || got.Seq != want.Seq || got.Head != want.Head || got.Adds != want.Adds || got.Held != want.Held {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
