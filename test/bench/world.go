package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/caller"
)

// world is a scene on a file system, for each of the subjects.
type world struct {
	scene scene
	place *place
	tools tools
	netns string
	rng   *rand.Rand

	home                                      string // holds the other folders
	dataDir, template, hostLocalDir, floorDir string

	held    map[netip.Addr]bool
	cursors []journal.Cursor
	old     attachment // one that holds an address since long; zero if there is none
	leases  []state.Lease
}

// newWorld makes a scene in a folder of its own at the place: leasegen's store, the same leases as host-local's files if
// it is to take part, and the floor's folder.
func newWorld(ctx context.Context, b *bench, p *place, s scene, withHostLocal bool) (*world, error) {
	w := &world{scene: s, place: p, tools: b.tools, netns: b.netns, rng: b.rng, held: map[netip.Addr]bool{}}
	home, err := os.MkdirTemp(p.dir, "scene-")
	if err != nil {
		return nil, err
	}
	w.home = home
	w.dataDir, w.template = filepath.Join(home, "leaselog"), filepath.Join(home, "template")
	w.hostLocalDir, w.floorDir = filepath.Join(home, "host-local"), filepath.Join(home, "floor")
	args := []string{"--out", w.dataDir, "--network", network, "--leases", strconv.Itoa(s.leases), "--events", strconv.Itoa(s.events),
		"--subnet", s.subnet(), "--seed", strconv.FormatUint(b.options.seed, 10), "--tail", "0"}
	if s.dual {
		args = append(args, "--dual", "--subnet6", subnet6)
	}
	if out, err := exec.CommandContext(ctx, w.tools.leasegen, args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("leasegen: %w: %s", err, out)
	}
	if err := caller.MarkStart(filepath.Join(w.dataDir, ".leaselog", network)); err != nil {
		return nil, err
	}
	if err := w.read(); err != nil {
		return nil, fmt.Errorf("read what leasegen made: %w", err)
	}
	if err := os.Rename(w.dataDir, w.template); err != nil {
		return nil, err
	}
	if err := os.Mkdir(w.floorDir, 0o700); err != nil {
		return nil, err
	}
	if withHostLocal {
		if err := w.writeHostLocal(); err != nil {
			return nil, err
		}
	}
	w.leases = nil
	return w, nil
}

// read learns from the store who holds what.
func (w *world) read() error {
	dir := filepath.Join(w.dataDir, ".leaselog", network)
	r, err := journal.OpenReader(dir)
	if err != nil {
		return err
	}
	defer r.Close()
	paths, err := filepath.Glob(filepath.Join(dir, "snap", "*.snap"))
	if err != nil || len(paths) == 0 {
		return fmt.Errorf("%s has no snapshot: %w", dir, err)
	}
	snap, err := state.OpenSnapshot(slices.Max(paths), r.Meta().ID)
	if err != nil {
		return err
	}
	defer snap.Close()
	st := state.Over(snap)
	for rec, err := range r.Records(st.Seq()) {
		if err != nil {
			return err
		}
		if err := st.Apply(&rec.Event); err != nil {
			return err
		}
	}
	w.cursors = st.Cursors()
	for l, err := range st.Leases() {
		if err != nil {
			return err
		}
		w.held[l.IP] = true
		w.leases = append(w.leases, l)
	}
	if len(w.leases) != w.scene.leases {
		return fmt.Errorf("%d leases, want %d", len(w.leases), w.scene.leases)
	}
	if n := len(w.leases); n > 0 {
		// One from the middle: neither host-local's walk nor a lookup finds it first or last.
		w.old.id = w.leases[n/2].ContainerID
		for _, l := range w.leases {
			if l.ContainerID == w.old.id {
				w.old.ips = append(w.old.ips, l.IP)
			}
		}
		slices.SortFunc(w.old.ips, netip.Addr.Compare)
	}
	return nil
}

// writeHostLocal writes the leases and cursors as host-local does.
func (w *world) writeHostLocal() error {
	dir := filepath.Join(w.hostLocalDir, network)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, l := range w.leases {
		if err := os.WriteFile(filepath.Join(dir, l.IP.String()), []byte(l.ContainerID+"\r\n"+l.IfName), 0o600); err != nil {
			return err
		}
	}
	for _, c := range w.cursors {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("last_reserved_ip.%d", c.Set)), []byte(c.IP.String()), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// restore puts the plugin's store back: a fresh snapshot and no event since. Snapshots and archived segments are never
// written to, so links do for them. One call of each kind then makes the store this place's own again, and the
// page cache as warm as between two calls.
func (w *world) restore() error {
	if err := os.RemoveAll(w.dataDir); err != nil {
		return err
	}
	if err := cloneTree(w.template, w.dataDir); err != nil {
		return fmt.Errorf("put the store back: %w", err)
	}
	if err := w.place.settle(); err != nil {
		return err
	}
	a := attachment{id: w.newID()}
	for _, verb := range []string{"ADD", "DEL"} {
		got, err := w.call(leaselog, verb, a).run()
		if err != nil {
			return err
		}
		if _, err := w.check(leaselog, verb, got); err != nil {
			return err
		}
	}
	return nil
}

// cloneTree copies a tree, immutable files by links.
func cloneTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		parent := filepath.Base(filepath.Dir(path))
		switch {
		case d.IsDir():
			info, err := d.Info()
			if err != nil {
				return err
			}
			return os.Mkdir(target, info.Mode().Perm())
		case parent == "archive" || parent == "snap":
			return os.Link(path, target)
		default:
			return copyFile(path, target)
		}
	})
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

// newID draws a container ID.
func (w *world) newID() string {
	var b [32]byte
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	return hex.EncodeToString(b[:])
}
