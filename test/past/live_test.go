package past_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/trace"
)

// readers is how many commands look at the stores at a time.
const readers = 3

var formats = []string{"json", "table", "jsonl", "csv"}

// watcher runs read-only commands beside a turmoil.
type watcher struct {
	*turmoil
	under  []string // runs a command that can't write the stores
	traces string   // folder of what strace writes
	runs   atomic.Int64
	quiet  int64 // a time when no call was under way

	found sync.Mutex
	seen  []seen
}

// seen is an answer in JSON that is judged in the end, when all events are known.
type seen struct {
	q    question // of who
	said said
}

// commands returns the commands to run once, with what changes from one time to the next.
func (w *watcher) commands(r *rand.Rand) (commands [][]string, q question) {
	q = w.draw(r, w.clock.now())
	q.at = max(q.at, w.quiet) // before that one network was without a store
	newest := durable(w.t, w.networks[0])
	return [][]string{
		{"who", q.ip.String()},
		{"who", q.ip.String(), "--at", stamp(q.at)},
		{"who", q.ip.String(), "--at", stamp(max(q.at, w.quiet) + 1_000_000), "--skew", "1ms"},
		{"history", "--ip", q.ip.String()},
		{"history", "--cidr", "10.66.0.0/29", "--since", stamp(q.at)},
		{"at", "now"},
		{"at", stamp(w.quiet)},
		{"diff", stamp(w.quiet), "now"},
		{"events", "--since", fmt.Sprint(max(newest, 30) - 29), "--network", w.networks[0].Name},
		{"leases"},
		{"networks"},
		{"stats"},
		{"verify"},
		{"explain", q.ip.String()},
		{"join", w.flows(r), "--ip", "ip", "--time", "ts"},
	}, q
}

// flows writes a flow log of addresses and times to ask about.
func (w *watcher) flows(r *rand.Rand) (path string) {
	rows := "network,ip,ts\n"
	for range 20 {
		q := w.draw(r, w.clock.now())
		rows += fmt.Sprintf("%s,%s,%s\n", q.network, q.ip, stamp(max(q.at, w.quiet)))
	}
	path = filepath.Join(w.traces, fmt.Sprintf("flows-%d.csv", w.runs.Add(1)))
	if err := os.WriteFile(path, []byte(rows), 0o600); err != nil {
		w.t.Error(err)
	}
	return path
}

// durable is a network's newest event.
func durable(t *testing.T, n caller.Network) journal.Seq {
	t.Helper()
	j, err := journal.OpenReader(n.StoreDir())
	if err != nil {
		t.Error(err)
		return 0
	}
	defer j.Close()
	return j.Coverage().Durable
}

// round runs all commands once, in an order of its own.
func (w *watcher) round(r *rand.Rand, format string) {
	commands, q := w.commands(r)
	r.Shuffle(len(commands), func(i, j int) { commands[i], commands[j] = commands[j], commands[i] })
	for _, args := range commands {
		if w.t.Failed() {
			return
		}
		path := filepath.Join(w.traces, fmt.Sprint(w.runs.Add(1)))
		args = append(args, "--data-dir", w.networks[0].DataDir)
		format := format
		if args[0] == "join" {
			format = "csv" // as its file
		} else {
			args = append(args, "-o", format)
		}
		s := ask(w.t, append(slices.Clone(w.under), watch(path)...), args...)
		bad, opened := wrote(w.t, path)
		if len(bad) > 0 || opened == 0 {
			w.t.Errorf("leasectl %s opens %d files, and %s", strings.Join(args, " "), opened, strings.Join(bad, "\n"))
		}
		w.wellFormed(s, format)
		if format == "json" || args[0] == "join" {
			w.found.Lock()
			w.seen = append(w.seen, seen{q, s})
			w.found.Unlock()
		}
	}
}

// wellFormed fails the test for an answer that is no answer, or not a whole one.
func (w *watcher) wellFormed(s said, format string) {
	w.t.Helper()
	worst := 0
	switch s.args[0] {
	case "who", "at", "diff", "history", "explain", "join":
		worst = 2
	}
	if s.exit < 0 || s.exit > worst {
		w.t.Errorf("a command beside calls that all go well: %v", s)
	}
	var err error
	switch format {
	case "json":
		s.read(w.t)
	case "jsonl":
		for line := range strings.Lines(s.stdout) {
			if !json.Valid([]byte(line)) || !strings.HasSuffix(line, "\n") {
				err = fmt.Errorf("not a line of JSON: %q", line)
			}
		}
	case "csv":
		var rows [][]string
		if rows, err = csv.NewReader(strings.NewReader(s.stdout)).ReadAll(); err == nil && len(rows) == 0 {
			err = fmt.Errorf("no header")
		}
	case "table":
		if s.stdout == "" || !strings.HasSuffix(s.stdout, "\n") {
			err = fmt.Errorf("no table")
		}
	}
	if err != nil {
		w.t.Errorf("%v: %v", s, err)
	}
}

// comeAndGo adds a container and releases it, if there is room.
func (tm *turmoil) comeAndGo(n caller.Network) {
	id := fmt.Sprintf("turn-%d", tm.clock.now())
	a, s := tm.call(caller.Call{Network: n, Verb: "ADD", ID: id})
	if a.OK() {
		tn := tm.began(n.Name, id, tm.boot, s, a)
		_, s = tm.call(caller.Call{Network: n, Verb: "DEL", ID: id})
		tm.ended(tn, byDel, s)
	}
}

// turnOver has the stores grow, beside all other calls, until snapshots were taken and segments archived.
func (tm *turmoil) turnOver() {
	for _, n := range tm.networks {
		for durable(tm.t, n) < 100 && !tm.t.Failed() { // so that more than what grows is archived
			tm.comeAndGo(n)
		}
		for len(segments(tm.t, n, "archive")) == 0 && !tm.t.Failed() {
			tm.grow()
			newest := func() string { return strings.Join(snapshots(tm.t, n), " ") }
			for was := newest(); newest() == was && !tm.t.Failed(); {
				tm.comeAndGo(n)
			}
		}
	}
}

// TestLive runs every read-only command in every format, over and over, while processes call and snapshots and archiving
// go on. The commands can't write the stores, and don't try to.
func TestLive(t *testing.T) {
	trace.Need(t)
	r := random(t)
	tm := newTurmoil(t, networks(t)...)
	tm.boot = journal.CurrentBoot()
	tm.begin()
	w := &watcher{turmoil: tm, under: readOnly(t, tm.networks[0].DataDir), traces: t.TempDir(), quiet: tm.clock.now()}
	follower := w.follow(w.networks[0])
	var group sync.WaitGroup
	var over atomic.Bool
	var left atomic.Int64 // rounds until each reader has made one, as a rule
	left.Store(readers)
	for i := range readers {
		r := rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
		other := formats[1+i%(len(formats)-1)]
		group.Go(func() {
			for !over.Load() {
				w.round(r, formats[0])
				w.round(r, other)
				left.Add(-1)
			}
		})
	}
	group.Go(func() {
		tm.work(r, "p", nil, func(int) bool { return !over.Load() })
	})
	tm.turnOver()
	for left.Load() > 0 && !t.Failed() {
		tm.comeAndGo(tm.networks[0])
	}
	over.Store(true)
	group.Wait()
	told := follower.end()
	tm.archived()
	tm.sane(t)
	t.Logf("%v; %d commands", tm.counts, w.runs.Load())
	w.judge(told)
	w.copies(r)
}
