package contract_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestRandomHistory drives both plugins through the same random calls. One range set
// and no request outside it: a refusal with several sets leaves host-local's cursors
// moved, which is a difference that is listed.
func TestRandomHistory(t *testing.T) {
	needHostLocal(t)
	calls := 80
	if testing.Short() {
		calls = 30
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 2))
			ranges := [][2]string{
				{"10.1.2.0/29", `{"subnet":"10.1.2.0/29"}`},
				{"10.1.2.0/28", `{"subnet":"10.1.2.0/28","rangeStart":"10.1.2.9","rangeEnd":"10.1.2.11","gateway":"10.1.2.10"},{"subnet":"10.1.2.0/29","rangeEnd":"10.1.2.4"}`},
				{"2001:db8::/125", `{"subnet":"2001:db8::/125","gateway":"2001:db8::3"}`},
			}
			oursDir, theirsDir := t.TempDir(), t.TempDir()
			for i := range calls {
				pick := ranges[r.IntN(20)/18] // mostly the same ranges, sometimes others
				if seed == 3 {
					pick = ranges[2]
				}
				s := step{verb: "ADD", id: fmt.Sprint("c", r.IntN(9)), conf: net("1.1.0", `{"dataDir":"@DIR@","ranges":[[`+pick[1]+`]]}`)}
				switch n := r.IntN(10); {
				case n < 3:
					s.verb = "DEL"
				case n < 4:
					s.verb = "CHECK"
				case n < 5:
					base, _, _ := strings.Cut(pick[0], "/")
					s.env = args(fmt.Sprint(strings.TrimSuffix(base, "0"), 1+r.IntN(4)))
				}
				theirs, ours := s.run(t, hostLocal, theirsDir), s.run(t, leaselog, oursDir)
				if got, want := withoutCode(ours), withoutCode(theirs); got != want {
					t.Fatalf("call %d: %s %s %v: got %v\nwant %v", i, s.verb, s.id, s.env, ours, theirs)
				}
				if strings.Contains(ours.stdout, `"code": 999`) {
					t.Errorf("call %d: %s %s: an error without a code of its own: %v", i, s.verb, s.id, ours)
				}
			}
		})
	}
}

// withoutCode returns what is left of an answer without the error code.
func withoutCode(a answer) string {
	before, after, found := strings.Cut(a.stdout, `"code": `)
	if found {
		_, after, _ = strings.Cut(after, ",")
	}
	return fmt.Sprint(a.exit, before, after)
}
