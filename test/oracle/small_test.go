package oracle_test

import (
	"slices"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/oracle"
)

// small are the smallest histories of disagreements that there have been, so that they are asked about however random ones are
// made.
var small = []struct {
	name            string
	events          string
	lost, snapshots []journal.Seq
}{
	{
		name: "a lease at one instant in a gap",
		events: `
			1 A 0 0 0 genesis
			2 A 0 0 0 config
			3 A 20 20 0 add c1 2
			4 A 20 20 0 refuse
			5 A 20 20 0 del c1 2`,
		lost: []journal.Seq{3, 4}, snapshots: []journal.Seq{4},
	},
	{
		name: "a lease through two gaps",
		events: `
			1 A 0 0 no genesis
			2 A 0 0 no config
			3 A 1 1 no add c1 2
			4 A 120 120 no refuse
			5 A 120 120 no refuse
			6 A 120.4 120.4 no repair
			7 A 130 130 no refuse
			8 A 140 140 no del c1 2`,
		lost: []journal.Seq{5, 7},
	},
	{
		name: "given again to the same owner in a gap",
		events: `
			1 A 0 0 no genesis
			2 A 0 0 no config
			3 A 21 21 no add c1 2
			4 A 22 22 no del c1 2
			5 A 23 23 no add c1 2
			6 A 24 24 no annotate c1 2
			7 A 40 40 no release force c1 2`,
		lost: []journal.Seq{4, 5}, snapshots: []journal.Seq{6},
	},
	{
		name: "shortly behind a gap",
		events: `
			1 - 0 0 no genesis
			2 - 0 0 no config
			3 - 160 160 no add c1 2
			4 - 165 165 no refuse
			5 - 170 170 no refuse
			6 - 225 225 no refuse
			7 - 245 245 no del c1 2`,
		lost: []journal.Seq{5},
	},
	{
		name: "shown before a gap and in it, and the clock was set back behind",
		events: `
			1 - 0 0 no genesis
			2 - 0 0 no config
			3 - 1 1 no refuse
			4 - 10 10 no add c1 2
			5 - 20 20 no del c1 2
			6 - 100 100 no add c2 2
			7 - 101 98 no refuse`,
		lost: []journal.Seq{3, 5, 6}, snapshots: []journal.Seq{4, 6},
	},
}

// TestAgreeOnSmall asks both all that can be asked about small histories.
func TestAgreeOnSmall(t *testing.T) {
	for _, tt := range small {
		t.Run(tt.name, func(t *testing.T) {
			c := &oracle.Case{Name: tt.name, Whole: story(t, tt.events).Events, Snapshots: tt.snapshots}
			for i := range c.Whole {
				c.Lost = append(c.Lost, slices.Contains(tt.lost, c.Whole[i].Seq))
			}
			w := newWorld(t, memory(t), c)
			defer w.close(t)
			for _, q := range w.questions() {
				if a, b := w.ask(&q); !a.equal(b) {
					t.Fatalf("%s\noracle: %s\nreplay: %s\n%s", w.print(&q), a, b, w.s)
				}
			}
		})
	}
}

// questions returns all questions about instants at which answers may change and their neighbours.
func (w *world) questions() []query {
	var at []int64
	for _, t := range w.times {
		at = append(at, t-1, t, t+1)
	}
	slices.Sort(at)
	at = slices.Compact(at)
	ip := w.s.Addresses()[0]
	all := []query{{verb: "history", ip: ip, from: -oracle.Far, to: oracle.Far}}
	for _, a := range at {
		all = append(all, query{verb: "at", a: oracle.Question{At: a}},
			query{verb: "history", ip: ip, from: a, to: oracle.Far}, query{verb: "history", ip: ip, from: -oracle.Far, to: a})
		for _, b := range at {
			all = append(all, query{verb: "diff", a: oracle.Question{At: a}, b: oracle.Question{At: b}})
			if a <= b {
				skew := (b - a) / 2
				all = append(all, query{verb: "who", ip: ip, a: oracle.Question{At: a + skew, Skew: skew}}, query{verb: "history", ip: ip, from: a, to: b})
			}
		}
	}
	return all
}
