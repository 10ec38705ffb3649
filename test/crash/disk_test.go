package crash

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// everything is the limits of an exhaustive exploration.
var everything = limits{exhaustive: 1 << 20}

// left returns all that a crash could leave now, each as "name=content ...", with runs of a byte shortened.
func left(d *disk) []string {
	slots := d.slots()
	m := newImager(d, slots)
	found := map[string]bool{}
	combinations(slots, everything, rand.New(rand.NewPCG(1, 1)), func(pick []int) {
		var words []string
		for _, e := range m.image(pick).entries {
			if e.dir {
				words = append(words, e.path+"/")
			} else {
				words = append(words, e.path+"="+runs(e.data))
			}
		}
		found[strings.Join(words, " ")] = true
	})
	return slices.Sorted(maps.Keys(found))
}

// runs writes bytes as letters with their counts; zeros as 0.
func runs(b []byte) string {
	var out strings.Builder
	for i := 0; i < len(b); {
		n := i
		for n < len(b) && b[n] == b[i] {
			n++
		}
		letter := "0"
		if b[i] != 0 {
			letter = string(rune(b[i]))
		}
		fmt.Fprintf(&out, "%s%d", letter, n-i)
		i = n
	}
	return out.String()
}

// script is operations on one disk by one process.
type script struct {
	t *testing.T
	d *disk
}

func newScript(t *testing.T) script { return script{t, newDisk()} }

func (s script) do(o op) script {
	s.t.Helper()
	if o.kind == opSync || o.kind == opSyncFailed {
		o.begun = s.d.ops
	}
	if err := s.d.step(&o); err != nil {
		s.t.Fatal(err)
	}
	return s
}

func (s script) create(fd int, path string) script {
	return s.do(op{kind: opOpen, fd: fd, path: path, flags: "O_RDWR|O_CREAT"})
}

// open opens what is there; "" is the root.
func (s script) open(fd int, path string) script {
	return s.do(op{kind: opOpen, fd: fd, path: path, flags: "O_RDONLY"})
}

func (s script) write(fd int, letter string, n int) script {
	return s.do(op{kind: opWrite, fd: fd, data: []byte(strings.Repeat(letter, n))})
}

func (s script) writeAt(fd int, letter string, at int64, n int) script {
	return s.do(op{kind: opWriteAt, fd: fd, at: at, data: []byte(strings.Repeat(letter, n))})
}

func (s script) sync(fd int) script   { return s.do(op{kind: opSync, fd: fd}) }
func (s script) failed(fd int) script { return s.do(op{kind: opSyncFailed, fd: fd}) }
func (s script) cut(fd int, at int64) script {
	return s.do(op{kind: opTruncate, fd: fd, at: at})
}

// synced has a root whose names are durable and a file f with content that is.
func (s script) synced(content string, n int) script {
	return s.open(1, "").create(3, "f").write(3, content, n).sync(3).sync(1)
}

// TestCrashLeaves holds the model to what doc.go says of it.
func TestCrashLeaves(t *testing.T) {
	tests := []struct {
		name string
		run  func(s script)
		want []string
	}{
		{"synced is there", func(s script) { s.synced("a", 3) }, []string{"f=a3"}},
		{"a name is not synced by its file", func(s script) { s.open(1, "").create(3, "f").write(3, "a", 1).sync(3) }, []string{"", "f=a1"}},
		{"a file system's sync writes content, and no names", func(s script) {
			s.open(1, "").create(3, "f").write(3, "a", 1).do(op{kind: opSyncDisk, begun: 3})
		}, []string{"", "f=a1"}},
		{"content is not synced by its folder", func(s script) { s.open(1, "").create(3, "f").write(3, "a", 1).sync(1) },
			[]string{"f=", "f=01", "f=a1"}},
		{"cut at any byte, or zeros", func(s script) { s.synced("a", 2).write(3, "b", 2) },
			[]string{"f=a2", "f=a201", "f=a202", "f=a2b1", "f=a2b2"}},
		{"torn at sectors", func(s script) { s.synced("a", 510).write(3, "b", 3) },
			[]string{"f=a510", "f=a51001", "f=a51002", "f=a51002b1", "f=a51003", "f=a510b1", "f=a510b2", "f=a510b201", "f=a510b3"}},
		{"old bytes in place", func(s script) { s.synced("a", 4).writeAt(3, "b", 1, 2) }, []string{"f=a1b2a1", "f=a4"}},
		{"one of several versions", func(s script) { s.synced("a", 1).writeAt(3, "b", 0, 1).writeAt(3, "c", 0, 1) },
			[]string{"f=a1", "f=b1", "f=c1"}},
		{"truncation or not", func(s script) { s.synced("a", 4).cut(3, 1) }, []string{"f=a1", "f=a4"}},
		{"truncated, then grown", func(s script) { s.synced("a", 4).cut(3, 1).writeAt(3, "c", 3, 1) },
			[]string{"f=a1", "f=a101", "f=a102", "f=a102c1", "f=a103", "f=a3c1", "f=a4"}},
		{"truncated and synced", func(s script) { s.synced("a", 4).cut(3, 1).sync(3) }, []string{"f=a1"}},
		{"a failed sync leaves it open", func(s script) { s.synced("a", 1).write(3, "b", 1).failed(3) }, []string{"f=a1", "f=a101", "f=a1b1"}},
		{"a sync after a failed one writes the size alone", func(s script) { s.synced("a", 1).write(3, "b", 1).failed(3).sync(3) },
			[]string{"f=a101", "f=a1b1"}},
		{"written again after a failed sync", func(s script) { s.synced("a", 1).write(3, "b", 1).failed(3).writeAt(3, "b", 1, 1).sync(3) },
			[]string{"f=a1b1"}},
		{"cut after a failed sync", func(s script) { s.synced("a", 1).write(3, "b", 1).failed(3).cut(3, 1).sync(3) }, []string{"f=a1"}},
		{"cut after a failed sync, and grown again", func(s script) {
			s.synced("a", 1).write(3, "b", 1).failed(3).cut(3, 1).sync(3).writeAt(3, "c", 2, 1).sync(3)
		}, []string{"f=a101c1"}},
		{"renamed within a folder", func(s script) { s.synced("a", 1).do(op{kind: opRename, path: "f", to: "g"}) }, []string{"f=a1", "g=a1"}},
		{"renamed over another", func(s script) {
			s.synced("a", 1).create(4, "g").write(4, "b", 1).sync(4).sync(1).do(op{kind: opRename, path: "f", to: "g"})
		}, []string{"f=a1 g=b1", "g=a1"}},
		{"exchanged within a folder", func(s script) {
			s.synced("a", 1).create(4, "g").write(4, "b", 1).sync(4).sync(1).do(op{kind: opExchange, path: "f", to: "g"})
		}, []string{"f=a1 g=b1", "f=b1 g=a1"}},
		{"renamed across folders", func(s script) {
			s.synced("a", 1).do(op{kind: opMkdir, path: "d"}).sync(1).do(op{kind: opRename, path: "f", to: "d/f"})
		}, []string{"d/", "d/ d/f=a1", "d/ d/f=a1 f=a1", "d/ f=a1"}},
		{"linked, then unlinked", func(s script) {
			s.synced("a", 1).do(op{kind: opLink, path: "f", to: "g"}).do(op{kind: opUnlink, path: "f"})
		}, []string{"", "f=a1", "f=a1 g=a1", "g=a1"}},
		{"a lost folder takes along what is in it", func(s script) {
			s.do(op{kind: opMkdir, path: "d"}).create(3, "d/f").write(3, "a", 1).sync(3).open(4, "d").sync(4)
		}, []string{"", "d/ d/f=a1"}},
		{"removed", func(s script) { s.synced("a", 1).do(op{kind: opUnlink, path: "f"}) }, []string{"", "f=a1"}},
		{"written while it was synced", func(s script) {
			s.synced("a", 1).write(3, "b", 1)
			s.d.step(&op{kind: opSync, fd: 3, begun: s.d.ops - 1})
		}, []string{"f=a1", "f=a101", "f=a1b1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t)
			tt.run(s)
			if got := left(s.d); !slices.Equal(got, tt.want) {
				t.Errorf("a crash leaves\n%q, want\n%q", got, tt.want)
			}
		})
	}
}

// TestSizes wants a file to end at every byte of a record, and at the borders of sectors in what is larger.
func TestSizes(t *testing.T) {
	if got := len(sizesOf(change{kind: grow, from: 100, at: 100 + everyByte})); got != everyByte {
		t.Errorf("%d sizes of a file that grew by %d bytes", got, everyByte)
	}
	sizes := sizesOf(change{kind: grow, from: 0, at: 10 * everyByte})
	for n := int64(sector); n < 10*everyByte; n += sector {
		for _, size := range []int64{n - 1, n, n + 1} {
			if !slices.Contains(sizes, size) {
				t.Errorf("size %d is not tried", size)
			}
		}
	}
}

// TestSampleTakesTheCorners wants the choices that bugs hide in to be among those tried of a large crash point.
func TestSampleTakesTheCorners(t *testing.T) {
	s := newScript(t).synced("a", 1)
	for i := range 40 {
		s.writeAt(3, "b", int64(i*sector), sector)
	}
	slots := s.d.slots()
	tried := map[string]bool{}
	if combinations(slots, limits{exhaustive: 4096, single: 1, random: 10}, rand.New(rand.NewPCG(1, 1)), func(pick []int) { tried[fmt.Sprint(pick)] = true }) {
		t.Fatal("explored exhaustively")
	}
	none, full := make([]int, len(slots)), make([]int, len(slots))
	for i := range slots {
		full[i] = slots[i].choices() - 1
	}
	for i := range slots {
		prefix := slices.Clone(none)
		copy(prefix, full[:i])
		lost, alone := slices.Clone(full), slices.Clone(none)
		lost[i], alone[i] = 0, full[i]
		for what, pick := range map[string][]int{"none": none, "all": full, "prefix": prefix, "lost": lost, "alone": alone} {
			if !tried[fmt.Sprint(pick)] {
				t.Errorf("slot %d: %s is not tried", i, what)
			}
		}
	}
}

// TestModelIsCompared changes a real folder behind the model's back.
func TestModelIsCompared(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := load(dir)
	if err == nil {
		err = d.same(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("b"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d.same(dir) == nil {
		t.Error("other bytes are not noticed")
	}
	if err := os.Rename(file, filepath.Join(dir, "g")); err != nil {
		t.Fatal(err)
	}
	if d.same(dir) == nil {
		t.Error("another name is not noticed")
	}
}

// TestTimesLeft wants the file of a lease to have the time of what reached the disk last.
func TestTimesLeft(t *testing.T) {
	s := newScript(t).open(1, "")
	s.do(op{kind: opOpen, fd: 3, path: "10.1.0.2", flags: "O_RDWR|O_CREAT", time: 5})
	s.sync(1).do(op{kind: opWrite, fd: 3, data: []byte("c"), time: 7}).do(op{kind: opTouch, path: "10.1.0.2", at: 3})
	times := func() string {
		slots := s.d.slots()
		m := newImager(s.d, slots)
		found := map[string]bool{}
		combinations(slots, everything, rand.New(rand.NewPCG(1, 1)), func(pick []int) {
			e := m.image(pick).entries[0]
			found[fmt.Sprintf("%s@%d", runs(e.data), e.time)] = true
		})
		return strings.Join(slices.Sorted(maps.Keys(found)), " ")
	}
	if got, want := times(), "01@3 01@7 @3 @5 @7 c1@3 c1@7"; got != want {
		t.Errorf("a crash leaves %s, want %s", got, want)
	}
	if s.sync(3); times() != "c1@3" {
		t.Errorf("once it is synced %s", times())
	}
}
