package past_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/lab"
)

// items are the names of what an answer lists, for one that may know less of what came later.
func (r *reply) items() string {
	var names []string
	for _, l := range slices.Concat(r.Holders, r.Leases, r.Intervals) {
		names = append(names, l.name())
	}
	for _, c := range slices.Concat(r.Added, r.Removed, r.Moved, r.Reused) {
		for _, l := range c.Before {
			names = append(names, c.Change+" before "+l.name())
		}
		for _, l := range c.After {
			names = append(names, c.Change+" after "+l.name())
		}
	}
	for _, ev := range r.Events {
		names = append(names, ev.Network+" "+stampSeq(ev.Seq)+" "+ev.Evidence.SHA256)
	}
	return r.State + "\n" + strings.Join(names, "\n")
}

// copies asks a copy of the stores, and the archive of one by itself, what the stores themselves are asked.
func (w *watcher) copies(r *rand.Rand) {
	w.t.Helper()
	n := w.networks[0]
	dir := w.t.TempDir()
	lab.Must(w.t, "cp", "-a", n.DataDir, filepath.Join(dir, "copy"))
	lab.Must(w.t, "cp", "-a", filepath.Join(n.StoreDir(), "archive"), filepath.Join(dir, n.Name))
	whole := w.lastOf(n.StoreDir())
	archived := w.lastOfArchive(filepath.Join(dir, n.Name))
	for range 3 {
		for _, other := range []struct {
			dir  string
			last int64 // time up to which it tells
		}{{filepath.Join(dir, "copy"), whole}, {filepath.Join(dir, n.Name), archived}} {
			first, last := w.first[n.Name].returned+1_000_000, other.last-1_000_000
			a, b := first+r.Int64N(last-first), first+r.Int64N(last-first)
			a, b = min(a, b), max(a, b)
			ip := addresses(w.t, n)[0][r.IntN(len(addresses(w.t, n)[0]))].String()
			for _, args := range [][]string{
				{"who", ip, "--at", stamp(a)},
				{"who", ip, "--at", stamp(a), "--skew", "1ms"},
				{"history", "--ip", ip, "--until", stamp(a)},
				{"history", "--cidr", ip + "/30", "--since", stamp(a), "--until", stamp(b)},
				{"at", stamp(a)},
				{"diff", stamp(a), stamp(b)},
				{"events", "--since", stamp(a), "--until", stamp(b)},
			} {
				w.same(args, other.dir)
			}
		}
	}
}

// same fails the test unless two places give one answer. What they say of themselves, and of what came later, may differ.
func (w *watcher) same(args []string, dir string) {
	w.t.Helper()
	from := func(dir string) (said, string) {
		s := ask(w.t, nil, append(slices.Clone(args), "--data-dir", dir, "--network", w.networks[0].Name, "-o", "json")...)
		r := s.read(w.t)
		return s, r.items()
	}
	here, itemsHere := from(w.networks[0].DataDir)
	there, itemsThere := from(dir)
	if itemsHere != itemsThere || here.exit > 3 || there.exit > 3 || (here.exit == 3) != (there.exit == 3) || (here.exit == 1) != (there.exit == 1) {
		w.t.Errorf("%v\nand %v", here, there)
	}
}

// lastOf is when the last event of a store was.
func (w *watcher) lastOf(dir string) int64 {
	w.t.Helper()
	j, err := journal.OpenReader(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return lastTime(w.t, j)
}

func (w *watcher) lastOfArchive(dir string) int64 {
	w.t.Helper()
	if _, err := os.Stat(dir); err != nil {
		w.t.Fatal(err)
	}
	j, err := journal.OpenArchive(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return lastTime(w.t, j)
}

func lastTime(t *testing.T, j *journal.Reader) (last int64) {
	t.Helper()
	defer j.Close()
	for rec, err := range j.Records(j.Coverage().Durable - 1) {
		if err != nil {
			t.Fatal(err)
		}
		last = rec.Event.Clock.Wall
	}
	return last
}
