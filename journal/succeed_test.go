package journal_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
)

// files returns every file below dir with its content.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		all[rel] = string(read(t, path))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSucceed(t *testing.T) {
	dir, _ := handMade(t, 12, 5, 9)
	write(t, filepath.Join(dir, "quarantine", "1-x"), []byte("cut"))
	mkfifo(t, filepath.Join(dir, "quarantine", "2-pipe"))
	write(t, filepath.Join(dir, "archive", journal.SegmentName(1)), read(t, segmentPath(dir, 1)))
	before := files(t, dir)
	old, err := journal.ReadMeta(dir)
	if err != nil {
		t.Fatal(err)
	}
	// What a prune that died had taken away: its tombstone calls it gone.
	gone := filepath.Join(dir, "archive", "tmp."+journal.ID{7}.String(), "journal")
	if err := os.MkdirAll(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(gone, journal.SegmentName(1)), []byte("gone"))
	for generation := range 2 {
		j, _ := open(t, dir)
		parent, last, head := j.Meta().ID, j.Last(), j.Head()
		meta, err := j.Succeed(journal.Successor{Version: "test", ParentSeq: last, ParentHash: head,
			Attributes: []journal.Attribute{{Key: journal.AttributeLost, Value: "3"}},
			Write:      func(next *journal.Journal) error { return next.Append(del(generation)) }}, soon())
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Append(del(1)); !errors.Is(err, journal.ErrClosed) {
			t.Errorf("append to what was succeeded: %v", err)
		}
		j, events := open(t, dir)
		j.Close()
		if got := ids(events); got != ids([]journal.Event{{Kind: journal.KindGenesis}, *del(generation)}) {
			t.Errorf("got events\n%s", got)
		}
		o := events[0].Origin
		if o.Parent != parent || o.ParentSeq != last || o.ParentHash != head || o.Journal != meta.ID || meta.ID == parent {
			t.Errorf("genesis %+v of %s", o, meta.ID)
		}
	}
	// The first parent is beside the second, whole but for what is nobody's bytes.
	kept := files(t, filepath.Join(dir, "archive", old.ID.String()))
	for name, content := range before {
		if name != "reserve" && name != "lock" && kept[name] != content {
			t.Errorf("%s was not kept", name)
		}
	}
	for name := range files(t, dir) {
		if strings.Contains(name, "tmp.") {
			t.Errorf("%s was kept", name)
		}
	}
	r, err := journal.OpenReader(filepath.Join(dir, "archive", old.ID.String()))
	if err != nil || !r.Coverage().Copy {
		t.Errorf("the parent reads as %+v, %v; want a copy", r, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestSucceedFails changes nothing when the new journal can't be made.
func TestSucceedFails(t *testing.T) {
	boom := errors.New("boom")
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		write   func(*journal.Journal) error
		want    string
	}{
		{"events", func(*testing.T, string) {}, func(*journal.Journal) error { return boom }, "boom"},
		{"a folder of its own name in the way", func(t *testing.T, dir string) {
			meta, err := journal.ReadMeta(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, "archive", meta.ID.String()), 0o700); err != nil {
				t.Fatal(err)
			}
		}, func(*journal.Journal) error { return nil }, "file exists"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, _ := handMade(t, 12, 5, 9)
			test.prepare(t, dir)
			before := files(t, filepath.Dir(dir))
			j, _ := open(t, dir)
			_, err := j.Succeed(journal.Successor{Write: test.write}, soon())
			if err == nil || !contains(err, test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			j.Close()
			after := files(t, filepath.Dir(dir))
			delete(after, ".lock")
			delete(before, ".lock")
			for name, content := range before {
				if after[name] != content && filepath.Base(name) != "lock" {
					t.Errorf("%s changed", name)
				}
				delete(after, name)
			}
			for name := range after {
				t.Errorf("%s was left behind", name)
			}
		})
	}
}

func TestReplaceClaim(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(t *testing.T, path string)
	}{
		{"a file", func(t *testing.T, path string) { write(t, path, []byte("rotten")) }},
		{"a folder", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			test.make(t, filepath.Join(folder, journal.ClaimName))
			if err := journal.ReplaceClaim(folder, journal.ID{1}, "/history/net"); err != nil {
				t.Fatal(err)
			}
			if id, dir, err := journal.ReadClaim(folder); err != nil || id != (journal.ID{1}) || dir != "/history/net" {
				t.Errorf("got %v %q, %v", id, dir, err)
			}
			if kept, _ := filepath.Glob(filepath.Join(folder, journal.ClaimName+".damaged-*")); len(kept) != 1 {
				t.Errorf("kept %v", kept)
			}
		})
	}
}

func mkfifo(t *testing.T, path string) {
	t.Helper()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }
