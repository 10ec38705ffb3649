package jobs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/caller"
)

const (
	network = "pods"
	subnet  = "10.1.0.0/20"
)

// world is a folder with a network, and room for what jobs write elsewhere.
type world struct {
	t    *testing.T
	root string
	net  caller.Network
	made int // containers that were made so far
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, root: t.TempDir()}
	w.net = caller.Network{Name: network, DataDir: filepath.Join(w.root, "networks"), Ranges: [][]caller.Range{{{Subnet: subnet}}}}
	if err := os.Mkdir(filepath.Join(w.root, "elsewhere"), 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

// elsewhere is a path that is not the store's.
func (w *world) elsewhere(name string) string { return filepath.Join(w.root, "elsewhere", name) }

// fill makes pods come and go, in this process and without upkeep: nothing is archived by it. Each is two events, but for every tenth, which stays.
func (w *world) fill(pods int) {
	w.t.Helper()
	sets, err := allocator.Canonical([]allocator.RangeSet{{{Subnet: netip.MustParsePrefix(subnet)}}})
	if err != nil {
		w.t.Fatal(err)
	}
	s := allocator.NewStore(allocator.Options{Network: network, DataDir: w.net.DataDir, Version: "test", AllowNetworkFS: true,
		Ranges: func() []allocator.RangeSet { return sets }})
	for range pods {
		w.made++
		owner := state.Attachment{ContainerID: fmt.Sprintf("pod-%06d", w.made), IfName: "eth0"}
		_, err := s.Add(allocator.AddRequest{Request: allocator.Request{Owner: owner, Sets: sets}, NetNS: "/run/netns/" + owner.ContainerID})
		if err == nil && w.made%10 != 0 {
			err = s.Del(allocator.DelRequest{Owner: owner})
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// tool runs leasectl on the network's data folder and returns what it printed and how it ended.
func (w *world) tool(args ...string) (out string, exit int) {
	w.t.Helper()
	return exited(w.t, commandOf(w.args(args)...))
}

func commandOf(args ...string) *exec.Cmd { return exec.Command(leasectl, args...) }

// args adds the data folder.
func (w *world) args(args []string) []string {
	return append(slices.Clip(args), "--data-dir", w.net.DataDir)
}

// must runs leasectl, which has to succeed.
func (w *world) must(args ...string) string {
	w.t.Helper()
	out, exit := w.tool(args...)
	if exit != 0 {
		w.t.Fatalf("leasectl %s: exit %d: %s", strings.Join(args, " "), exit, out)
	}
	return out
}

// exited runs a command; the exit code is -1 if it was killed.
func exited(t *testing.T, cmd *exec.Cmd) (string, int) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// call makes a call of the plugin.
func (w *world) call(verb, id string) (caller.Answer, error) {
	return caller.Call{Network: w.net, Verb: verb, ID: id}.Run(leaselog)
}

// told is what a store tells of its past.
type told struct {
	id     journal.ID
	raw    map[journal.Seq]string // the records
	last   journal.Seq
	held   map[netip.Addr]string // who holds what, by the events that are there
	pruned journal.Seq           // what a tombstone says is gone, up to here; 0 for nothing
}

// read reads all of it, and fails the test if the events are no chain without a gap, but for what was pruned.
func (w *world) read() *told {
	w.t.Helper()
	h, err := readStore(w.net.StoreDir())
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

func readStore(dir string) (*told, error) {
	r, err := archive.Open(dir)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	h := &told{id: r.Meta().ID, raw: map[journal.Seq]string{}, held: map[netip.Addr]string{}}
	var prev journal.Hash
	for piece, err := range r.Left(0) {
		if err != nil {
			return nil, err
		}
		if lost := piece.Loss; lost != nil {
			gone := lost.Pruned()
			if gone == nil || h.pruned > 0 {
				return nil, lost.Error(dir)
			}
			h.pruned, h.last, prev = lost.Last, lost.Last, gone.Pruned.Head
			continue
		}
		rec := &piece.Record
		ev := &rec.Event
		if ev.Seq != h.last+1 || ev.Prev != prev {
			return nil, fmt.Errorf("event %d does not follow event %d", ev.Seq, h.last)
		}
		h.last, prev = ev.Seq, journal.RecordHash(rec.Raw)
		h.raw[ev.Seq] = string(rec.Raw)
		if err := h.fold(ev); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// fold is who holds what, as plain as can be.
func (h *told) fold(ev *journal.Event) error {
	for _, a := range ev.Addresses {
		by, taken := h.held[a.IP]
		switch ev.Kind {
		case journal.KindAdd, journal.KindImport:
			if taken {
				return fmt.Errorf("event %d gives %s to %s, but %s holds it", ev.Seq, a.IP, ev.ContainerID, by)
			}
			h.held[a.IP] = ev.ContainerID
		case journal.KindDel, journal.KindRelease:
			if by != ev.ContainerID && (taken || h.pruned == 0) {
				return fmt.Errorf("event %d takes %s from %s, but %q holds it", ev.Seq, a.IP, ev.ContainerID, by)
			}
			delete(h.held, a.IP)
		}
	}
	return nil
}

// keeps fails unless all events that were there still are, byte for byte, but for those that a tombstone says are gone.
func (h *told) keeps(before *told) error {
	if h.id != before.id {
		return fmt.Errorf("journal %s became %s", before.id, h.id)
	}
	for seq, raw := range before.raw {
		switch got, ok := h.raw[seq]; {
		case !ok && (seq == 1 || seq > h.pruned):
			return fmt.Errorf("event %d is gone", seq)
		case ok && got != raw:
			return fmt.Errorf("event %d has other bytes", seq)
		}
	}
	return nil
}

// works makes an ADD and a DEL of a new container; the address must be nobody's by any of the stories.
func (w *world) works(h *told, more ...*told) error {
	id := fmt.Sprintf("after-%d", h.last)
	a, err := w.call("ADD", id)
	if err != nil {
		return err
	}
	if !a.OK() || len(a.IPs) != 1 {
		return fmt.Errorf("ADD: %v", a)
	}
	for _, h := range append(more, h) {
		if by, taken := h.held[a.IPs[0]]; taken {
			return fmt.Errorf("ADD: %s, which %s holds", a.IPs[0], by)
		}
	}
	if a.Stderr != "" {
		return fmt.Errorf("ADD: it warns: %s", a.Stderr)
	}
	if a, err = w.call("DEL", id); err == nil && !a.OK() {
		err = fmt.Errorf("DEL: %v", a)
	}
	return err
}

// sound fails if verify finds anything but notes.
func (w *world) sound() error {
	v, err := replay.Verify(w.net.StoreDir(), w.net.Folder())
	if err != nil {
		return err
	}
	for _, f := range v.Findings {
		if f.Severity != replay.SeverityNote {
			return fmt.Errorf("verify: %+v", f)
		}
	}
	return nil
}

// names lists the files and folders below a folder, without what a run may leave because it is used again.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && path != dir {
			list = append(list, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return list
}

// image is all that is below a folder.
type image struct {
	root  string
	files map[string][]byte
	modes map[string]fs.FileMode
}

func (w *world) save() image {
	w.t.Helper()
	im := image{root: w.root, files: map[string][]byte{}, modes: map[string]fs.FileMode{}}
	err := filepath.WalkDir(w.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		im.modes[path] = info.Mode()
		if !e.IsDir() {
			im.files[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return im
}

// restore brings it back. A file that is still there keeps its inode: the marker names that of the lock, and a store whose lock has another is
// a copy of the one that it was.
func (im image) restore() error {
	var there []string
	err := filepath.WalkDir(im.root, func(path string, _ fs.DirEntry, err error) error {
		there = append(there, path)
		return err
	})
	if err != nil {
		return err
	}
	for _, path := range slices.Backward(there) { // what is in a folder first
		if _, ok := im.modes[path]; !ok {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(im.modes)) {
		if im.modes[path].IsDir() {
			if err := os.MkdirAll(path, im.modes[path].Perm()); err != nil {
				return err
			}
			continue
		}
		if b, err := os.ReadFile(path); err == nil && bytes.Equal(b, im.files[path]) {
			continue
		}
		if err := os.WriteFile(path, im.files[path], im.modes[path].Perm()); err != nil {
			return err
		}
	}
	return nil
}
