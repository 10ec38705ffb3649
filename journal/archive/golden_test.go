package archive_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// TestGolden reads packed files of format version 1 as they were written once, and compares them with the records that
// were packed. The files in testdata are never made again: a change that can't read them is a new version of the
// format.
func TestGolden(t *testing.T) {
	dir := filepath.Join("testdata", "v1")
	text, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	h := &history{}
	if h.id, err = journal.ParseID(strings.TrimSpace(string(text))); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "records"))
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		n, w := binary.Uvarint(b)
		h.records = append(h.records, b[w:w+int(n)])
		b = b[w+int(n):]
	}
	r := openArchive(t, dir)
	if m := r.Meta(); m.ID != h.id || m.Network != "n" || m.Node != "here" {
		t.Errorf("meta %+v", m)
	}
	checkRecords(t, h, r, 0)
	checkEnds(t, r, h.decoded(t), []int{200, 300}, 0)
	if err := r.Check(); err != nil {
		t.Error(err)
	}
	var found archive.Found
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		if ev := &rec.Event; found.First == 0 && ev.Kind == journal.KindAdd && len(ev.ContainerID) == 64 {
			if found, err = r.Find(archive.Query{Container: ev.ContainerID[:12]}); err != nil {
				t.Fatal(err)
			}
			if found.First != ev.Seq || len(found.Containers) != 1 || found.Containers[0] != ev.ContainerID {
				t.Errorf("find container %s: got %+v", ev.ContainerID[:12], found)
			}
			checkAbout(t, r, h, h.decoded(t), found.Addresses, 0)
		}
	}
	if len(h.records) != 300 || found.First == 0 {
		t.Errorf("%d records", len(h.records))
	}
}
