package past_test

import (
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
)

// TestLastEvent asks a store in use whose last event is long over, as on a quiet node, or has a time that is still to come, as
// where the clock was set back since. What it gave is held.
func TestLastEvent(t *testing.T) {
	for _, test := range []struct {
		name  string
		ahead time.Duration // the plugin's clock
		asked [][]string
	}{
		{"quiet", -time.Minute, [][]string{
			{"who", "10.66.0.2", "--at", "-10s"}, {"at", "-10s"}, {"at", "now"}, {"history", "--ip", "10.66.0.2"},
			{"history", "--ip", "10.66.0.2", "--since", "-10s"}, {"leases"},
		}},
		{"still to come", time.Hour, [][]string{
			{"who", "10.66.0.2"}, {"at", "now"}, {"history", "--ip", "10.66.0.2"}, {"leases"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tm := newTurmoil(t, networks(t)[0])
			tm.clock.offset += int64(test.ahead)
			tm.boot = journal.CurrentBoot()
			n := tm.networks[0]
			if a, _ := tm.call(caller.Call{Network: n, Verb: "ADD", ID: firstID}); !a.OK() {
				t.Fatalf("ADD: %v", a)
			}
			for _, args := range test.asked {
				s := ask(t, nil, append(args, "--data-dir", n.DataDir, "-o", "json")...)
				if !strings.Contains(s.stdout, `"container_id":"`+firstID+`"`) || s.exit != 0 {
					t.Errorf("%s is not named: %v", firstID, s)
				}
			}
		})
	}
}
