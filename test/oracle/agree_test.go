package oracle_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/test/oracle"
)

var (
	questions = flag.Int("questions", 1_000_000, "how many questions to ask")
	minimal   = flag.Bool("minimal", true, "look for the smallest history that shows a disagreement")
	failures  = flag.Int("failures", 3, "how many kinds of disagreement to show before giving up")
)

// perCase is how many questions are asked about one case.
const perCase = 250

// disagreed are seeds that have shown a disagreement before, and are asked about first.
var disagreed = []uint64{1795978694348215587, 866297137087, 300591899515720, 2431017829545, 1488}

// query is one that both are asked.
type query struct {
	verb string
	ip   netip.Addr
	a, b oracle.Question // b of diff alone
	from int64           // history: since
	to   int64           // history: until
}

// print prints the question for people, with the times as the store's are printed.
func (w *world) print(q *query) string {
	at := func(q oracle.Question) string {
		s := w.after(q.At)
		if q.Now {
			s = "now"
		}
		if q.Skew > 0 {
			s += fmt.Sprintf(" skew %d", q.Skew)
		}
		return s
	}
	switch q.verb {
	case "who":
		return fmt.Sprintf("who %s at %s", q.ip, at(q.a))
	case "at":
		return "at " + at(q.a)
	case "diff":
		return fmt.Sprintf("diff %s %s", at(q.a), at(q.b))
	}
	bound := func(t int64) string {
		if t == oracle.Far || t == -oracle.Far {
			return "-"
		}
		return w.after(t)
	}
	return fmt.Sprintf("history %s since %s until %s", q.ip, bound(q.from), bound(q.to))
}

// ask puts a question to both.
func (w *world) ask(q *query) (a, b *said) {
	switch q.verb {
	case "who":
		return w.whoByOracle(q.ip, q.a), w.whoByReplay(w.read, q.ip, q.a)
	case "at":
		return w.atByOracle(q.a), w.atByReplay(w.read, q.a)
	case "diff":
		return w.diffByOracle(q.a, q.b), w.diffByReplay(w.read, q.a, q.b)
	}
	return w.historyByOracle(q.ip, q.from, q.to), w.historyByReplay(w.read.Of(q.ip), q.from, q.to)
}

// asker thinks of questions.
type asker struct {
	rnd *rand.Rand
	w   *world
	ips []netip.Addr
}

// instant is mostly one at which an answer may change, or its neighbour.
func (a *asker) instant() int64 {
	times := a.w.times
	t := times[a.rnd.IntN(len(times))]
	if a.rnd.IntN(10) == 0 {
		u := times[a.rnd.IntN(len(times))]
		return min(t, u) + a.rnd.Int64N(max(t, u)-min(t, u)+1)
	}
	return t + a.rnd.Int64N(3) - 1
}

// moment is a question about an instant, now and then about now.
func (a *asker) moment() oracle.Question {
	if a.w.c.Live && a.rnd.IntN(20) == 0 {
		return oracle.Question{At: a.w.c.Now, Now: true}
	}
	return oracle.Question{At: a.instant()}
}

// next is the next question.
func (a *asker) next() *query {
	q := &query{verb: "who", ip: a.ips[a.rnd.IntN(len(a.ips))], a: a.moment()}
	switch n := a.rnd.IntN(100); {
	case n < 30:
		if q.a.Now {
			break
		}
		// Both ends of the span are at instants that matter.
		from, to := a.instant(), a.instant()
		from, to = min(from, to), max(from, to)
		q.a.Skew = (to - from) / 2
		q.a.At = from + q.a.Skew
	case n < 70:
	case n < 80:
		q.verb = "at"
	case n < 85:
		q.verb, q.b = "diff", a.moment()
	default:
		q.verb, q.from, q.to = "history", a.instant(), a.instant()
		q.from, q.to = min(q.from, q.to), max(q.from, q.to)
		if a.rnd.IntN(3) == 0 {
			q.from = -oracle.Far
		}
		if a.rnd.IntN(3) == 0 {
			q.to = oracle.Far
		}
	}
	return q
}

// TestAgree asks both answerers the same about random histories.
func TestAgree(t *testing.T) {
	n := *questions
	if raceDetector || testing.Short() {
		n /= 50
	}
	dir := memory(t)
	kinds := map[string]int{}
	asked := 0
	for _, s := range disagreed {
		asked += agree(t, dir, s, kinds)
	}
	for s := *seed; asked < n && len(kinds) < *failures; s++ {
		asked += agree(t, dir, s, kinds)
	}
	for kind, n := range kinds {
		t.Logf("%d: %s", n, kind)
	}
	t.Logf("%d questions from -seed %d on", asked, *seed)
}

// agree asks both about one random history, and counts the kinds of disagreement. It returns how many questions that were.
func agree(t *testing.T, dir string, s uint64, kinds map[string]int) int {
	t.Helper()
	w := newWorld(t, dir, oracle.Random(s))
	defer w.close(t)
	if open(w) {
		return 0
	}
	think := &asker{rand.New(rand.NewPCG(s, 1)), w, w.addresses()}
	for _, ip := range think.ips {
		if a, b := w.s.MayHold(ip), w.read.MayHold(ip); a != b {
			t.Fatalf("-seed %d: may hold %s: oracle %t, replay %t\n%s", s, ip, a, b, w.s)
		}
	}
	for range perCase {
		q := think.next()
		a, b := w.ask(q)
		if a.equal(b) {
			continue
		}
		kind := q.verb + ": " + a.headline() + " | " + b.headline()
		if kinds[kind]++; kinds[kind] == 1 {
			report(t, dir, w, q, kind)
		}
	}
	return perCase
}

// report shows a disagreement about the smallest case that has one of its kind.
func report(t *testing.T, dir string, w *world, q *query, kind string) {
	t.Helper()
	var text string
	fails := func(c *oracle.Case) bool {
		w := newWorld(t, dir, c)
		if w == nil || open(w) {
			return false
		}
		defer w.close(t)
		found := w.search(q, kind)
		if found != nil {
			a, b := w.ask(found)
			text = fmt.Sprintf("%s\noracle: %s\nreplay: %s\n%s", w.print(found), a, b, w.s)
		}
		return found != nil
	}
	if !*minimal || !fails(w.c) {
		a, b := w.ask(q)
		text = fmt.Sprintf("%s\noracle: %s\nreplay: %s\n%s", w.print(q), a, b, w.s)
	}
	if *minimal {
		shrink(w.c, fails)
	}
	t.Errorf("-seed %s: %s", strings.TrimPrefix(w.c.Name, "seed "), text)
}

// search looks for a question like one that showed a disagreement that shows one of the same kind.
func (w *world) search(like *query, kind string) *query {
	try := func(q query) bool {
		a, b := w.ask(&q)
		return !a.equal(b) && q.verb+": "+a.headline()+" | "+b.headline() == kind
	}
	if try(*like) {
		return like
	}
	think := &asker{rand.New(rand.NewPCG(1, 2)), w, []netip.Addr{like.ip}}
	for range 4000 {
		if q := think.next(); q.verb == like.verb && try(*q) {
			return q
		}
	}
	return nil
}

// memory returns a folder for files that come and go by the thousand: in memory if possible.
func memory(t *testing.T) string {
	t.Helper()
	const shared = "/dev/shm"
	if _, err := os.Stat(shared); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shared, "leaselog-oracle-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
