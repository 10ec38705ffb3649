package page_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/oracle"
)

const (
	netName = "pods"
	until   = "2026-11-03T00:00:00Z" // of the stores that leasegen makes
)

// store is a data folder with one network.
type store struct {
	name    string
	dataDir string
	times   []int64 // at which answers may change, in nanoseconds
}

func (s *store) dir() string { return filepath.Join(s.dataDir, ".leaselog", netName) }

// ctl runs leasectl on the store; want are the exit codes that are no failure.
func (s *store) ctl(t testing.TB, want []int, args ...string) string {
	t.Helper()
	return ctl(t, want, append(args, "--data-dir", s.dataDir)...)
}

func ctl(t testing.TB, want []int, args ...string) string {
	t.Helper()
	cmd := exec.Command(leasectl, args...)
	var words strings.Builder
	cmd.Stderr = &words
	out, err := cmd.Output()
	var exit *exec.ExitError
	code := 0
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	if !slices.Contains(want, code) {
		t.Fatalf("leasectl %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, words.String())
	}
	return string(out)
}

// generated is a store that leasegen makes.
func generated(t testing.TB, name string, args ...string) *store {
	t.Helper()
	needChromium(t)
	s := &store{name: name, dataDir: t.TempDir()}
	args = append([]string{"--out", s.dataDir, "--network", netName, "--until", until}, args...)
	if out, err := exec.Command(leasegen, args...).CombinedOutput(); err != nil {
		t.Fatalf("leasegen %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return s
}

// used is a store that the plugin made in this boot of this node: what it tells reaches to now.
func used(t testing.TB) *store {
	t.Helper()
	needChromium(t)
	s := &store{name: "in use", dataDir: t.TempDir()}
	n := caller.Network{Name: netName, DataDir: s.dataDir, Ranges: [][]caller.Range{{{Subnet: "10.1.0.0/29"}}}}
	for _, words := range []string{"ADD a", "ADD b", "DEL a", "ADD c", "ADD d", "ADD e", "ADD f", "ADD refused", "DEL c", "ADD g"} {
		verb, id, _ := strings.Cut(words, " ")
		if got, err := (caller.Call{Network: n, Verb: verb, ID: id}).Run(plugin); err != nil || !got.OK() && id != "refused" {
			t.Fatalf("%s: %v, %v", words, got, err)
		}
	}
	return s
}

// shop is a store of a few pods, for tests in which it doesn't matter what is in it.
func shop(t testing.TB) *store {
	t.Helper()
	return generated(t, "shop", "--leases", "60", "--events", "900", "--days", "2", "--subnet", "10.1.0.0/24", "--seed", fmt.Sprint(*seed))
}

// random is the store of a history of package oracle: with clocks set back, boots without an ID, imports, and lost events,
// which are made unreadable. It is nil if that history has snapshots or an earlier journal.
func random(t testing.TB, seed uint64) *store {
	t.Helper()
	c := oracle.Random(seed)
	if len(c.Snapshots) > 0 || c.Whole[0].Origin.Parent != (journal.ID{}) {
		return nil
	}
	s := &store{name: fmt.Sprintf("random %d", seed), dataDir: t.TempDir(), times: oracle.NewPast(c.Store()).Times()}
	genesis := &c.Whole[0]
	genesis.Origin.Journal, genesis.Origin.Node = journal.ID{7}, "node"
	s.write(t, c.Whole)
	s.spoil(t, func(seq uint64) bool { return c.Lost[seq-1] })
	return s
}

// write makes the store of events; the first one is its genesis.
func (s *store) write(t testing.TB, events []journal.Event) {
	t.Helper()
	needChromium(t)
	if err := os.MkdirAll(s.dataDir, 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := journal.NewBuilder(filepath.Dir(s.dir()), journal.NewStore{Network: netName, DataDir: s.dataDir, Version: "test", AllowNetworkFS: true,
		Claim: func(id journal.ID) (func(), error) {
			return journal.WriteClaim(filepath.Join(s.dataDir, netName), id, s.dir())
		}}, &events[0], time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for i := range events[1:] {
		if err := b.Append(&events[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Finish(0); err != nil {
		t.Fatal(err)
	}
}

// records returns all events of the store's segments.
func (s *store) records(t testing.TB) []journal.Record {
	t.Helper()
	r, err := journal.OpenReader(s.dir())
	if err != nil {
		t.Fatal(err)
	}
	var all []journal.Record
	for rec, err := range r.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		rec.Raw = slices.Clone(rec.Raw)
		all = append(all, rec)
	}
	return all
}

// spoil makes events unreadable.
func (s *store) spoil(t testing.TB, lost func(uint64) bool) {
	t.Helper()
	for _, rec := range s.records(t) {
		if !lost(uint64(rec.Event.Seq)) {
			continue
		}
		path := filepath.Join(s.dir(), rec.File)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[rec.Offset+int64(len(rec.Raw))/2] ^= 0x10
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// changes returns the instants at which answers about the store may change, as its events tell.
func (s *store) changes(t testing.TB) []int64 {
	t.Helper()
	if s.times != nil {
		return s.times
	}
	var all []int64
	for _, ev := range s.events(t) {
		wall, effective := instantOf(t, ev.Time), instantOf(t, ev.Effective)
		all = append(all, wall, effective, effective-ev.Clock.MaxError, effective+ev.Clock.MaxError)
	}
	slices.Sort(all)
	s.times = slices.Compact(all)
	return s.times
}

// event is what tests read of leasectl's JSON of one.
type event struct {
	Seq         uint64
	Time        string
	Effective   string
	Kind        string
	ContainerID string `json:"container_id"`
	Pod         struct{ Namespace, Name string }
	Addresses   []struct{ IP string }
	Clock       struct {
		MaxError int64 `json:"max_error_ns"`
	}
}

// leased are all addresses that events are about.
func (s *store) leased(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, ev := range s.events(t) {
		for _, a := range ev.Addresses {
			all = append(all, a.IP)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (s *store) events(t testing.TB) []event {
	t.Helper()
	return lines[event](t, s.ctl(t, []int{0, 2, 3}, "events", "-o", "jsonl"))
}

// instants draws n instants, ascending: mostly those at which answers change or a nanosecond beside, others between, before and
// after them.
func instants(times []int64, rnd *rand.Rand, n int) []int64 {
	first, last := times[0], times[len(times)-1]
	all := []int64{first - int64(time.Hour), first - 1, first, last, last + 1, last + int64(time.Hour)}
	for len(all) < n {
		at := times[rnd.IntN(len(times))] + rnd.Int64N(3) - 1
		if rnd.IntN(5) == 0 {
			at = first + rnd.Int64N(last-first+1)
		}
		all = append(all, at)
	}
	slices.SortFunc(all, cmp.Compare[int64])
	return slices.Compact(all)
}

// instantOf parses a time of leasectl's JSON.
func instantOf(t testing.TB, text string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixNano()
}

// stamp is an instant as leasectl prints it.
func stamp(at int64) string {
	return time.Unix(0, at).UTC().Format("2006-01-02T15:04:05.000000000Z07:00")
}
