package oracle_test

import (
	"slices"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/oracle"
)

// small are the smallest histories of disagreements that random ones have shown, so that they are asked about however random
// ones are made.
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
