package oracle_test

import (
	"testing"

	"github.com/leaselog/leaselog/test/oracle"
)

// TestSeveral is about several stores together.
func TestSeveral(t *testing.T) {
	const (
		held = `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			live 30`
		free = `
			1 B 0 0 0 genesis
			2 B 1 1 0 config
			3 B 1 1 0 add c9 3
			live 30`
		elsewhere = `
			1 C 0 0 0 genesis
			2 C 1 1 0 config high
			3 C 1 1 0 add c9 1.3`
		lost = `
			1 D 0 0 0 genesis
			2 D 1 1 0 config high
			9 D 20 20 0 add c9 1.3
			live 30`
	)
	for _, tt := range []struct {
		name   string
		stores []string
		asked  string
		state  oracle.State
		exit   int
	}{
		{"held by one, free in another", []string{held, free}, "2 at 15", oracle.Held, 0},
		{"held by both", []string{held, held}, "2 at 15", oracle.Held, 2},
		{"free in all", []string{free, held}, "4 at 15", oracle.Free, 1},
		{"unknown where the address is not in its ranges doesn't count", []string{held, elsewhere}, "2 at 25", oracle.Held, 0},
		{"unknown where it may be counts", []string{held, lost}, "2 at 15", oracle.Unknown, 3},
		{"unknown in all", []string{elsewhere, elsewhere}, "2 at 25", oracle.Unknown, 3},
		{"gateway in one, not ours in another", []string{elsewhere + "\nlive 30", held}, "1 at 15", oracle.Gateway, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var pasts []*oracle.Past
			for _, text := range tt.stores {
				pasts = append(pasts, oracle.NewPast(story(t, text)))
			}
			ip, q := question(t, pasts[0].Store, tt.asked)
			j := oracle.Who(pasts, ip, q)
			if j.State != tt.state || j.Exit() != tt.exit {
				t.Errorf("%s: got %s, exit %d; want %s, exit %d", tt.asked, j.State, j.Exit(), tt.state, tt.exit)
			}
		})
	}
}
