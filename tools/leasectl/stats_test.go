package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// leasectl runs the command and returns what it printed and its exit code.
func leasectl(args ...string) (stdout, stderr string, code int) {
	var out, words strings.Builder
	code = run(args, &out, &words, time.Now)
	return out.String(), words.String(), code
}

// scrape runs stats for a data folder and parses what it exposes.
func scrape(t *testing.T, dataDir string, wantCode int, flags ...string) *exposition {
	t.Helper()
	stdout, stderr, code := leasectl(append([]string{"stats", "--data-dir", dataDir, "--prometheus", "-"}, flags...)...)
	if code != wantCode {
		t.Fatalf("exit code %d, want %d: %s", code, wantCode, stderr)
	}
	e, err := parseExposition(stdout)
	if err != nil {
		t.Fatalf("%v in\n%s", err, stdout)
	}
	return e
}

// expect compares series of one network with the values wanted; -1 wants no such series.
func (e *exposition) expect(t *testing.T, network string, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		metric, label, _ := strings.Cut(name, " ")
		series := fmt.Sprintf("leaselog_%s network=%q", metric, network)
		if label != "" {
			key, value, _ := strings.Cut(label, "=")
			series += fmt.Sprintf(" %s=%q", key, value)
			if key < "network" {
				series = fmt.Sprintf("leaselog_%s %s=%q network=%q", metric, key, value, network)
			}
		}
		got, ok := e.values[series]
		if !ok {
			got = -1
		}
		if got != v {
			t.Errorf("%s: got %v, want %v", series, got, v)
		}
	}
}

// node is a network that an allocator leases addresses of.
type node struct {
	t       *testing.T
	dataDir string
	store   *allocator.Store
	sets    []allocator.RangeSet
}

// newNode has a range set for each of texts: ranges apart by blanks, each a subnet or "subnet,start,end,gateway".
func newNode(t *testing.T, network string, texts ...string) *node {
	t.Helper()
	n := &node{t: t, dataDir: t.TempDir()}
	n.store = allocator.NewStore(allocator.Options{Network: network, DataDir: n.dataDir, LockTimeout: 10 * time.Second, Version: "test"})
	n.sets = rangeSets(t, texts...)
	return n
}

func rangeSets(t *testing.T, texts ...string) []allocator.RangeSet {
	t.Helper()
	var sets []allocator.RangeSet
	for _, text := range texts {
		var set allocator.RangeSet
		for _, r := range strings.Fields(text) {
			parts := append(strings.Split(r, ","), "", "", "")
			one := allocator.Range{Subnet: netip.MustParsePrefix(parts[0])}
			for i, field := range []*netip.Addr{&one.Start, &one.End, &one.Gateway} {
				if parts[i+1] != "" {
					*field = netip.MustParseAddr(parts[i+1])
				}
			}
			set = append(set, one)
		}
		sets = append(sets, set)
	}
	sets, err := allocator.Canonical(sets)
	if err != nil {
		t.Fatal(err)
	}
	return sets
}

func owner(id string) state.Attachment { return state.Attachment{ContainerID: id, IfName: "eth0"} }

func (n *node) add(id string, requested ...string) error {
	r := allocator.AddRequest{Request: allocator.Request{Owner: owner(id), Sets: n.sets}}
	for _, ip := range requested {
		r.IPs = append(r.IPs, netip.MustParseAddr(ip))
	}
	_, err := n.store.Add(r)
	return err
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func TestStatsOfANode(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/29", "fd01::/64")
	n.must(n.add("a"))
	n.must(n.add("b"))
	n.must(n.add("c"))
	if err := n.add("c"); !errors.Is(err, allocator.ErrDuplicate) {
		t.Fatal(err)
	}
	if err := n.add("d", "10.1.0.2"); !errors.Is(err, allocator.ErrNotAvailable) {
		t.Fatal(err)
	}
	n.must(n.store.Del(allocator.DelRequest{Owner: owner("a")}))
	n.must(n.store.Del(allocator.DelRequest{Owner: owner("nobody")}))
	n.must(n.store.GC([]state.Attachment{owner("b")}))
	const all64 = 1 << 64
	e := scrape(t, n.dataDir, 0)
	e.expect(t, "pods", map[string]float64{
		"store_up": 1, "damage": 0, "fenced": 0, "held_leases": 2, "stale_leases": 0, "blocked_addresses": 0,
		"free_addresses set=0": 4, "free_addresses set=1": all64 - 3, "free_addresses set=2": -1,
		"adds_total": 3, "dels_total": 2, "imports_total": 0, "releases_total reason=del": 2, "releases_total reason=gc": 2,
		"releases_total reason=wiped": 0, "releases_total reason=external": 0, "releases_total reason=reboot": 0,
		"releases_total reason=replaced": 0, "releases_total reason=force": 0, "releases_total reason=other": -1,
		"refused_total cause=duplicate": 1, "refused_total cause=not_available": 1, "refused_total cause=exhausted": 0,
		"last_sequence": 10, "snapshots": 0, "quarantine_files": 0, "quarantine_bytes": 0,
	})
	if got := e.values[`leaselog_stats_success`]; got != 1 {
		t.Errorf("success: got %v, want 1", got)
	}
	for series, v := range e.values {
		if strings.Contains(series, "timestamp_seconds") && (v > float64(time.Now().Unix()+1) || v < float64(time.Now().Unix()-3600)) {
			t.Errorf("%s: %f is not of now", series, v)
		}
		if strings.Contains(series, "10.1.0") || strings.Contains(series, "eth0") || strings.Contains(series, n.dataDir) {
			t.Errorf("%s tells more than counts", series)
		}
	}
	if got, want := e.values[`leaselog_journal_bytes network="pods"`], segmentBytes(t, n.dataDir, "pods"); got != float64(want) {
		t.Errorf("journal bytes: got %v, want %d", got, want)
	}

	// A wipe ends all, and each of them is counted once the next call has recorded it.
	n.must(os.RemoveAll(filepath.Join(n.dataDir, "pods")))
	scrape(t, n.dataDir, 0).expect(t, "pods", map[string]float64{"store_up": 1, "held_leases": 0, "free_addresses set=0": 5,
		"adds_total": 3, "releases_total reason=wiped": 0})
	n.must(n.add("e"))
	scrape(t, n.dataDir, 0).expect(t, "pods", map[string]float64{"held_leases": 2, "adds_total": 4, "releases_total reason=wiped": 2})

	// Refusals of a full set. The configuration is another one, and its sets count.
	n.sets = rangeSets(t, "10.2.0.0/30")
	n.must(n.add("f"))
	if err := n.add("g"); !errors.Is(err, allocator.ErrExhausted) {
		t.Fatal(err)
	}
	scrape(t, n.dataDir, 0).expect(t, "pods", map[string]float64{"free_addresses set=0": 0, "free_addresses set=1": -1,
		"refused_total cause=exhausted": 1})
}

func segmentBytes(t *testing.T, dataDir, network string) (n int64) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dataDir, historyName, network, "journal", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range segments {
		st, err := os.Stat(s)
		if err != nil {
			t.Fatal(err)
		}
		n += st.Size()
	}
	return n
}

// TestFreeIsWhatCanBeGiven gives addresses until none is left, and wants as many as stats counted.
func TestFreeIsWhatCanBeGiven(t *testing.T) {
	tests := []struct {
		name string
		sets []string
		want int
	}{
		{"one range", []string{"10.0.0.0/28"}, 13},
		{"gateway at the end", []string{"10.0.0.0/28,,,10.0.0.14"}, 13},
		{"gateway in the middle", []string{"10.0.0.0/28,10.0.0.4,10.0.0.9,10.0.0.6"}, 5},
		{"gateway outside of the range", []string{"10.0.0.0/28,10.0.0.4,10.0.0.9"}, 6},
		{"nothing but the gateway", []string{"10.0.0.0/28,10.0.0.1,10.0.0.1 10.0.1.0/30"}, 1},
		{"another range's gateway", []string{"10.0.0.0/28,10.0.0.2,10.0.0.4,10.0.0.9 10.0.0.0/28,10.0.0.8,10.0.0.10,10.0.0.3"}, 6},
		{"from the network to the broadcast address", []string{"10.0.0.0/29,10.0.0.0,10.0.0.7"}, 7},
		{"IPv6", []string{"fd00::/124"}, 14},
		{"IPv6 around the mapped addresses", []string{"::/64,::fffe:ffff:fffd,::1:0:0:2"}, 6},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := newNode(t, "n", test.sets...)
			free := func() float64 {
				return scrape(t, n.dataDir, 0).values[`leaselog_free_addresses network="n" set="0"`]
			}
			for i := range test.want {
				n.must(n.add(fmt.Sprint("c", i)))
				if got, want := free(), float64(test.want-1-i); (i == 0 || i == test.want-1) && got != want {
					t.Errorf("%d given: got %v free, want %v", i+1, got, want)
				}
			}
			if err := n.add("last"); !errors.Is(err, allocator.ErrExhausted) {
				t.Errorf("got %v, want an exhausted set", err)
			}
		})
	}
}

// TestFreeOfHugeRanges: sizes are subtracted, exactly, and never walked.
func TestFreeOfHugeRanges(t *testing.T) {
	sets := rangeSets(t, "fd00::/64", "2000::/3", "10.0.0.0/8", "::/0")
	var ranges [][]journal.Range
	for _, set := range sets {
		ranges = append(ranges, []journal.Range{journal.Range(set[0])})
	}
	w := newRoom(ranges)
	w.take(netip.MustParseAddr("fd00::5"))
	w.take(netip.MustParseAddr("fd00::1")) // the gateway, held by mistake: it was never to be given
	w.take(netip.MustParseAddr("10.255.255.255"))
	want := []string{"18446744073709551613", "42535295865117307932921825928971026430", "16777213",
		"340282366920938463463374607427473244157"}
	for i := range want {
		if got := w.free[i].String(); got != want[i] {
			t.Errorf("set %d: got %s, want %s", i, got, want[i])
		}
	}
}

// TestStatsGoOn: with --state, stats say the same as without, from one call to the next, and after a wipe, a repair
// that begins a new journal, a backup put back, and with a file of counts that is of no use.
func TestStatsGoOn(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/24")
	file := filepath.Join(t.TempDir(), "counts")
	same := func(when string) {
		t.Helper()
		got, _, _ := leasectl("stats", "--data-dir", n.dataDir, "-o", "jsonl", "--state", file)
		want, _, _ := leasectl("stats", "--data-dir", n.dataDir, "-o", "jsonl")
		if got != want {
			t.Errorf("%s: got %s, want %s", when, got, want)
		}
	}
	for i := range 5 {
		n.must(n.add(fmt.Sprint("c", i)))
		same("call after call")
	}
	if st, err := os.Stat(file); err != nil || st.Mode() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", st.Mode(), err)
	}
	n.must(n.store.Del(allocator.DelRequest{Owner: owner("c1")}))
	n.must(os.RemoveAll(filepath.Join(n.dataDir, "pods")))
	same("wiped")
	n.must(n.add("d"))
	same("after a wipe")

	whole, err := os.ReadFile(file)
	n.must(err)
	spoilt := map[string][]byte{"cut": whole[:len(whole)/2], "empty": {}, "null": []byte("null"), "no object": []byte("[1]"),
		"another count": []byte(strings.Replace(string(whole), `"Adds":6`, `"Adds":7`, 1)),
		"later version": []byte(strings.Replace(string(whole), "counters/1", "counters/2", 1)),
		"too long":      append(slices.Repeat([]byte(" "), maxCounters), whole...)}
	for name, content := range spoilt {
		if string(content) == string(whole) {
			t.Fatalf("%s: not spoilt", name)
		}
		n.must(os.WriteFile(file, content, 0o600))
		_, stderr, _ := leasectl("stats", "--data-dir", n.dataDir, "--state", file)
		if !strings.Contains(stderr, "counting anew") || strings.Contains(stderr, "longer than") != (name == "too long") {
			t.Errorf("%s: what is said about it: %q", name, stderr)
		}
		n.must(os.WriteFile(file, content, 0o600))
		same(name)
		if _, stderr, _ := leasectl("stats", "--data-dir", n.dataDir, "--state", file); stderr != "" {
			t.Errorf("%s: was not mended: %s", name, stderr)
		}
	}

	// A backup put back: to its own end, and then on in another way.
	dir := filepath.Join(n.dataDir, historyName, "pods")
	backup := filepath.Join(t.TempDir(), "backup")
	n.must(os.CopyFS(backup, os.DirFS(dir)))
	n.must(n.add("e"))
	same("before the backup is put back")
	n.must(errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(backup))))
	same("a backup")
	n.must(n.add("f"))
	n.must(n.store.Del(allocator.DelRequest{Owner: owner("f")}))
	same("a backup that went on")
}

// TestStatsContinue: --state is what is gone on from. A count that no counting leads to tells.
func TestStatsContinue(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/24")
	n.must(n.add("a"))
	file := filepath.Join(t.TempDir(), "counts")
	r, err := journal.OpenReader(filepath.Join(n.dataDir, historyName, "pods"))
	n.must(err)
	counts, err := replay.Count(r, replay.Counts{})
	n.must(err)
	counts.Refused = map[int]uint64{allocator.CodeExhausted: 1000}
	kept := &counters{now: map[journal.ID]replay.Counts{r.Meta().ID: counts, {9}: {Seq: 5}}}
	n.must(kept.write(file, false))
	n.must(n.add("b"))
	scrape(t, n.dataDir, 0, "--state", file).expect(t, "pods", map[string]float64{"refused_total cause=exhausted": 1000, "adds_total": 2})

	// One network alone leaves what is kept of others; all networks drop what is of none.
	has := func(want bool) {
		t.Helper()
		all, err := parseCounters(file)
		if _, ok := all[journal.ID{9}]; err != nil || ok != want {
			t.Errorf("kept of another journal: %v, %v, want %v", ok, err, want)
		}
	}
	has(false)
	n.must(kept.write(file, false))
	scrape(t, n.dataDir, 0, "--state", file, "--network", "pods")
	has(true)
}

// TestStatsOfDamage: what is damaged is said to be, and no count of it is 0.
func TestStatsOfDamage(t *testing.T) {
	unknown := map[string]float64{"store_up": 0, "held_leases": -1, "stale_leases": -1, "blocked_addresses": -1, "free_addresses set=0": -1,
		"adds_total": -1, "dels_total": -1, "imports_total": -1, "releases_total reason=del": -1, "refused_total cause=exhausted": -1,
		"last_sequence": -1, "last_event_timestamp_seconds": -1}
	flip := func(path string) func(*node) {
		return func(n *node) {
			path := filepath.Join(n.dataDir, historyName, "pods", path)
			b, err := os.ReadFile(path)
			n.must(err)
			b[len(b)/2] ^= 1
			n.must(os.WriteFile(path, b, 0o600))
		}
	}
	tests := []struct {
		name  string
		spoil func(*node)
		want  map[string]float64
	}{
		{"an event", flip(firstSegment), map[string]float64{"damage": 1}},
		{"META", flip("META"), map[string]float64{"damage": 1, "journal_bytes": 0}},
		{"the journal is gone", func(n *node) { n.must(os.RemoveAll(filepath.Join(n.dataDir, historyName, "pods", "journal"))) },
			map[string]float64{"damage": 2, "journal_bytes": 0}},
		{"the store is gone", func(n *node) { n.must(os.RemoveAll(filepath.Join(n.dataDir, historyName))) },
			map[string]float64{"damage": 1, "journal_bytes": -1}},
		{"the claim", func(n *node) {
			n.must(os.WriteFile(filepath.Join(n.dataDir, "pods", journal.ClaimName), []byte("x"), 0o600))
		}, map[string]float64{"store_up": 1, "damage": 1, "held_leases": 2, "adds_total": 2}},
		{"the claim is another journal's", func(n *node) {
			_, dir, err := journal.ReadClaim(filepath.Join(n.dataDir, "pods"))
			n.must(err)
			n.must(journal.ReplaceClaim(filepath.Join(n.dataDir, "pods"), journal.ID{7}, dir))
		}, map[string]float64{"store_up": 1, "damage": 1, "held_leases": 2, "adds_total": 2}},
		{"the claim leads to no store", func(n *node) {
			n.must(journal.ReplaceClaim(filepath.Join(n.dataDir, "pods"), journal.ID{7}, filepath.Join(n.dataDir, "none")))
		}, map[string]float64{"store_up": 1, "damage": 1, "held_leases": 2, "adds_total": 2}},
		{"the lock file", func(n *node) { n.must(os.Remove(filepath.Join(n.dataDir, historyName, "pods", "lock"))) },
			map[string]float64{"store_up": 1, "damage": 1, "held_leases": 2, "adds_total": 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := newNode(t, "pods", "10.1.0.0/24")
			n.must(n.add("a"))
			n.must(n.add("b"))
			whole := scrape(t, n.dataDir, 0)
			test.spoil(n)
			e := scrape(t, n.dataDir, 3)
			if _, up := test.want["store_up"]; !up {
				e.expect(t, "pods", unknown)
			}
			if test.want["journal_bytes"] == 0 && test.name == "META" {
				test.want["journal_bytes"] = whole.values[`leaselog_journal_bytes network="pods"`]
			}
			e.expect(t, "pods", test.want)
			if got := e.values["leaselog_stats_success"]; got != 0 {
				t.Errorf("success: got %v, want 0", got)
			}
		})
	}
}

// TestStatsOfHistory: damage in what is archived leaves what is held, and counts of an earlier run go on.
func TestStatsOfHistory(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/16")
	dir := filepath.Join(n.dataDir, historyName, "pods")
	for i := range 2 {
		for k := range 30 {
			n.must(n.add(fmt.Sprint("c", i, "-", k)))
		}
		n.must(snapshotStore(dir, 0))
	}
	file := filepath.Join(t.TempDir(), "counts")
	scrape(t, n.dataDir, 0, "--state", file).expect(t, "pods", map[string]float64{"snapshots": 2, "adds_total": 60})
	segment := filepath.Join(dir, firstSegment)
	b, err := os.ReadFile(segment)
	n.must(err)
	b[1000] ^= 1
	n.must(os.WriteFile(segment, b, 0o600))

	scrape(t, n.dataDir, 3).expect(t, "pods", map[string]float64{"store_up": 1, "damage": 1, "held_leases": 60, "adds_total": -1,
		"releases_total reason=del": -1, "last_sequence": 62})
	// What is gone on from is not read again; verify does that.
	scrape(t, n.dataDir, 0, "--state", file).expect(t, "pods", map[string]float64{"store_up": 1, "held_leases": 60, "adds_total": 60})

	// A damaged snapshot is passed over and told.
	b[1000] ^= 1
	n.must(os.WriteFile(segment, b, 0o600))
	snaps, err := filepath.Glob(filepath.Join(dir, "snap", "*"+snapshotSuffix))
	n.must(err)
	b, err = os.ReadFile(snaps[1])
	n.must(err)
	b[100] ^= 1
	n.must(os.WriteFile(snaps[1], b, 0o600))
	scrape(t, n.dataDir, 3).expect(t, "pods", map[string]float64{"store_up": 1, "damage": 1, "held_leases": 60, "adds_total": 60})
}

// TestStatsOfOldLeases is about leases of an earlier boot, blocked addresses and networks with hostile names.
func TestStatsOfOldLeases(t *testing.T) {
	dataDir := t.TempDir()
	events, err := parseEvents(`
10 import ip=10.0.0.7/24
20 import id=i ip=10.0.0.8/24
30 add id=a ip=10.0.0.9/24
40 add id=b ip=10.0.0.10/24 boot=2
50 release id=i ip=10.0.0.8/24 reason=external
60 refuse id=z code=177
70 add id=y ip=10.0.0.11/24
80 release id=y ip=10.0.0.11/24 reason=force`)
	if err != nil {
		t.Fatal(err)
	}
	events[0].Blocked, events[0].Claimed = true, 1
	events[7].Reason = 99 // of a later version
	if err := oldStore(dataDir, "old", events); err != nil {
		t.Fatal(err)
	}
	// The copy's own last boot is what its leases are measured against.
	e := scrape(t, dataDir, 3) // no lock file
	e.expect(t, "old", map[string]float64{"held_leases": 2, "stale_leases": 1, "blocked_addresses": 1, "imports_total": 2,
		"releases_total reason=external": 1, "releases_total reason=other": 1, "refused_total cause=other": 1, "free_addresses set=0": -1, "damage": 1})
}

// TestStatsOfHostileNames: a network's name is text from outside.
func TestStatsOfHostileNames(t *testing.T) {
	historyDir := t.TempDir()
	names := []string{"a\"} 1\nleaselog_held_leases{network=\"b", `c\`, "d\xff", "e\u202e", "{}", "f\xfe", "f\xfd"}
	for _, name := range names {
		if err := oldStore(historyDir, "x", nil); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(historyDir, historyName, "x"), filepath.Join(historyDir, historyName, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(historyDir, "x")); err != nil {
			t.Fatal(err)
		}
		meta, err := journal.ReadMeta(filepath.Join(historyDir, historyName, name))
		if err != nil {
			t.Fatal(err)
		}
		meta.Network = name
		if err := journal.WriteMeta(filepath.Join(historyDir, historyName, name), meta); err != nil {
			t.Fatal(err)
		}
	}
	e := scrape(t, filepath.Join(historyDir, historyName), 3)
	for _, name := range []string{names[0], names[1], "d\uFFFD", names[3], names[4]} {
		e.expect(t, name, map[string]float64{"store_up": 1, "held_leases": 0})
	}
	// Two that can't be told apart any more, and no claim that says which is meant.
	e.expect(t, "f\uFFFD", map[string]float64{"store_up": 0, "held_leases": -1, "damage": -1})
}

// TestStatsOfTwoStores: of two stores of one network, the one that its folder is claimed by counts.
func TestStatsOfTwoStores(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/24")
	n.must(n.add("a"))
	n.must(os.RemoveAll(filepath.Join(n.dataDir, "pods")))
	n.store = allocator.NewStore(allocator.Options{Network: "pods", DataDir: n.dataDir, HistoryDir: t.TempDir(), Version: "test"})
	for i := range 3 {
		n.must(n.add(fmt.Sprint("b", i)))
	}
	scrape(t, n.dataDir, 0).expect(t, "pods", map[string]float64{"store_up": 1, "damage": 0, "held_leases": 3, "adds_total": 3})
	n.must(os.RemoveAll(filepath.Join(n.dataDir, "pods")))
	scrape(t, n.dataDir, 0).expect(t, "pods", map[string]float64{"store_up": 1, "held_leases": 0, "adds_total": 1})
}

// TestStatsBesideCalls: a store in use is never taken for damaged.
func TestStatsBesideCalls(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/24")
	n.must(n.add("first"))
	done := make(chan error, 1)
	go func() {
		for i := range 60 {
			if err := n.add(fmt.Sprint("c", i)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	file := filepath.Join(t.TempDir(), "counts")
	adds := 0.0
	for {
		select {
		case err := <-done:
			n.must(err)
			scrape(t, n.dataDir, 0, "--state", file).expect(t, "pods", map[string]float64{"held_leases": 61, "adds_total": 61})
			return
		default:
		}
		e := scrape(t, n.dataDir, 0, "--state", file)
		now := e.values[`leaselog_adds_total network="pods"`]
		if held := e.values[`leaselog_held_leases network="pods"`]; now < adds || held != now {
			t.Fatalf("%v adds after %v, and %v leases held", now, adds, held)
		}
		adds = now
	}
}

// TestCensusLooksAgain: a store that was made anew after it was opened is no damaged one.
func TestCensusLooksAgain(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/24")
	n.must(n.add("a"))
	s := &store{dir: filepath.Join(n.dataDir, historyName, "pods"), network: "pods", folder: filepath.Join(n.dataDir, "pods")}
	n.must(s.open())
	n.must(errors.Join(os.RemoveAll(s.dir), os.RemoveAll(s.folder)))
	n.must(n.add("b"))
	n.must(n.add("c"))
	c, err := s.census(replay.Counts{})
	n.must(err)
	if len(c.damage) > 0 || c.held != 2 || c.counts == nil || c.counts.Adds != 2 {
		t.Errorf("got %d held, %+v, damage %q, want 2 and none", c.held, c.counts, c.damage)
	}
}

// TestReplaceFile: a failed run leaves the old file and no other.
func TestReplaceFile(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/24")
	n.must(n.add("a"))
	folder := t.TempDir()
	file := filepath.Join(folder, "leaselog.prom")
	content := func() string {
		t.Helper()
		b, err := os.ReadFile(file)
		n.must(err)
		entries, err := os.ReadDir(folder)
		if n.must(err); len(entries) != 1 {
			t.Errorf("left behind: %v", entries)
		}
		return string(b)
	}
	old := umask(0o077)
	_, stderr, code := leasectl("stats", "--data-dir", n.dataDir, "--prometheus", file)
	umask(old)
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	first := content()
	if _, err := parseExposition(first); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode() != 0o644 {
		t.Errorf("got mode %v, %v, want 0644", st.Mode(), err)
	}
	if _, _, code := leasectl("stats", "--data-dir", filepath.Join(folder, "nowhere"), "--prometheus", file); code != exitError || content() != first {
		t.Errorf("no data folder: exit code %d, and\n%s", code, content())
	}
	n.must(n.add("b"))
	if leasectl("stats", "--data-dir", n.dataDir, "--prometheus", file); content() == first {
		t.Error("was not written again")
	}
	if _, _, code := leasectl("stats", "--data-dir", n.dataDir, "--prometheus", file, "-o", "json"); code != exitUsage {
		t.Errorf("with another format: exit code %d, want %d", code, exitUsage)
	}

	// What is not a file is not replaced, and what can't be written leaves nothing.
	link := filepath.Join(t.TempDir(), "link")
	n.must(os.Symlink(file, link))
	pipe := filepath.Join(filepath.Dir(link), "pipe") // of this test alone: a mistake here replaces what it is given
	n.must(unix.Mkfifo(pipe, 0o600))
	for _, path := range []string{folder, link, filepath.Join(folder, "no", "file"), pipe} {
		before, _ := os.Lstat(path)
		if _, _, code := leasectl("stats", "--data-dir", n.dataDir, "--prometheus", path); code != exitError {
			t.Errorf("%s: exit code %d, want %d", path, code, exitError)
		}
		if after, _ := os.Lstat(path); before != nil && !os.SameFile(before, after) {
			t.Errorf("%s was replaced", path)
		}
	}
	content()
	if err := replaceFile(filepath.Join(folder, strings.Repeat("x", 256)), nil, 0o600); err == nil {
		t.Error("a name that is too long was written")
	}
	content()
}

// TestStateIsAPipe: nobody writes to it, and nobody waits for that.
func TestStateIsAPipe(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/24")
	n.must(n.add("a"))
	pipe := filepath.Join(t.TempDir(), "pipe")
	n.must(unix.Mkfifo(pipe, 0o600))
	_, stderr, code := leasectl("stats", "--data-dir", n.dataDir, "--state", pipe)
	if code != exitError || !strings.Contains(stderr, "pipe: not a file: counting anew") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// TestReplaceFileOnAFullDisk: the write that fails is the disk's.
func TestReplaceFileOnAFullDisk(t *testing.T) {
	folder := tinyDisk(t)
	file := filepath.Join(folder, "f")
	if err := replaceFile(file, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := replaceFile(file, make([]byte, 1<<20), 0o644)
	if !journal.IsFull(err) {
		t.Fatalf("got %v, want a full disk", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "old" {
		t.Errorf("got %q, %v, want the old file", b, err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestStatsOfUnreadable: a store that can't be opened is down, and the others are counted.
func TestStatsOfUnreadable(t *testing.T) {
	n := newNode(t, "pods", "10.1.0.0/24")
	n.must(n.add("a"))
	other := filepath.Join(n.dataDir, historyName, "other")
	n.must(os.MkdirAll(other, 0o700))
	n.must(os.Symlink("META", filepath.Join(other, "META"))) // a loop
	e := scrape(t, n.dataDir, exitError)
	e.expect(t, "pods", map[string]float64{"store_up": 1, "held_leases": 1})
	e.expect(t, "other", map[string]float64{"store_up": 0, "held_leases": -1, "damage": -1})

	stdout, _, _ := leasectl("stats", "--data-dir", n.dataDir, "-o", "jsonl")
	for line := range strings.Lines(stdout) {
		var it statsItem
		n.must(json.Unmarshal([]byte(line), &it))
		if it.Up != (it.Network == "pods") || (it.Held != nil) != it.Up {
			t.Errorf("got %s", line)
		}
	}
}
