package oracle_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/oracle"
)

// Stories are small histories, one event a line:
//
//	<seq> <boot> <boot-time clock> <wall clock> <clock state> <what happened>
//
// Clocks are in seconds. The boot is a letter, - for one without an ID. The clock state is "no" for a clock that is not
// synchronised, or the bound on its error. What happened is one of
//
//	genesis [lost=N]      config [none|low|high]     add c1 2 [config=N] [brings=low|high] [dropped]
//	del c1 2              gc c1 2                    release force c1 2
//	import c1 2 [claimed=S] [doubt] [carried]        blocked 2
//	reset                 annotate c1 2              refuse                    repair
//
// 2 is the address 10.0.0.2; low is the range 10.0.0.2 to 10.0.0.6 with the gateway 10.0.0.1, high is 10.0.1.2 to
// 10.0.1.6, whose gateway is 10.0.1.1. An add names the last configuration unless it says otherwise. Lines that don't begin
// with a number say how the store is found:
//
//	live <now>            wiped                      snapshot <seq> [c1 2 <start> <boot> <both clocks at the start>]...
func story(t *testing.T, text string) *oracle.Store {
	t.Helper()
	s := &oracle.Store{Name: "story"}
	var config journal.Seq
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "live":
			s.Live, s.Now = true, seconds(t, words[1])
		case words[0] == "wiped":
			s.Wiped = true
		case words[0] == "snapshot":
			s.Snapshots = append(s.Snapshots, snapshot(t, words[1:]))
		default:
			ev := happened(t, words[5:], &config)
			ev.Seq = number(t, words[0])
			if words[1] != "-" {
				ev.Boot[0] = words[1][0]
			}
			ev.BootTime, ev.Wall = seconds(t, words[2]), seconds(t, words[3])
			if words[4] != "no" {
				ev.Synchronised, ev.MaxError = true, time.Duration(seconds(t, words[4]))
			}
			if ev.Kind == journal.KindConfig {
				config = ev.Seq
			}
			s.Events = append(s.Events, ev)
		}
	}
	return s
}

func number(t *testing.T, word string) journal.Seq {
	t.Helper()
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return journal.Seq(n)
}

// seconds reads "12.5", and "12.5-1", which is a nanosecond less.
func seconds(t *testing.T, word string) int64 {
	t.Helper()
	by := int64(0)
	for suffix, ns := range map[string]int64{"-1": -1, "+1": 1} {
		if rest, ok := strings.CutSuffix(word, suffix); ok && rest != "" {
			word, by = rest, ns
		}
	}
	f, err := strconv.ParseFloat(word, 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(f*1e9) + by
}

func address(t *testing.T, word string) netip.Addr {
	t.Helper()
	prefix := "10.0.0."
	if strings.Contains(word, ".") {
		prefix = "10.0."
	}
	ip, err := netip.ParseAddr(prefix + word)
	if err != nil {
		t.Fatal(err)
	}
	return ip
}

func named(word string) [][]journal.Range {
	in := func(s string) []journal.Range {
		at := func(last string) netip.Addr { return netip.MustParseAddr(s + last) }
		return []journal.Range{{Subnet: netip.PrefixFrom(at("0"), 29), Start: at("2"), End: at("6"), Gateway: at("1")}}
	}
	switch word {
	case "low":
		return [][]journal.Range{in("10.0.0.")}
	case "high":
		return [][]journal.Range{in("10.0.1.")}
	}
	return nil
}

func snapshot(t *testing.T, words []string) oracle.Snapshot {
	t.Helper()
	snap := oracle.Snapshot{Seq: number(t, words[0])}
	for words = words[1:]; len(words) >= 5; words = words[5:] {
		k := oracle.Known{Owner: oracle.Owner{ContainerID: words[0], IfName: "eth0"}, Start: number(t, words[2])}
		k.Address.IP = address(t, words[1])
		k.Clock.Boot[0], k.Clock.BootTime, k.Clock.Wall = words[3][0], seconds(t, words[4]), seconds(t, words[4])
		snap.Leases = append(snap.Leases, k)
	}
	return snap
}

// happened reads what an event is about.
func happened(t *testing.T, words []string, config *journal.Seq) journal.Event {
	t.Helper()
	kinds := map[string]journal.Kind{"gc": journal.KindDel, "blocked": journal.KindImport}
	reasons := map[string]journal.Reason{"del": journal.ReasonDel, "gc": journal.ReasonGC, "reset": journal.ReasonWiped}
	ev := journal.Event{Kind: kinds[words[0]], Reason: reasons[words[0]]}
	if ev.Kind == 0 {
		var err error
		if ev.Kind, err = journal.ParseKind(words[0]); err != nil {
			t.Fatal(err)
		}
	}
	rest := words[1:]
	if ev.Kind == journal.KindRelease {
		for r := journal.ReasonDel; r <= journal.ReasonWiped; r++ {
			if r.String() == rest[0] {
				ev.Reason = r
			}
		}
		rest = rest[1:]
	}
	switch words[0] {
	case "genesis", "refuse", "repair", "reset":
	case "config":
		ev.Ranges = named("low")
		if len(rest) > 0 {
			if ev.Ranges = named(rest[0]); ev.Ranges == nil {
				ev.Dropped = []string{"ranges"}
			}
		}
	case "blocked":
		ev.Blocked, ev.Addresses = true, []journal.Address{{IP: address(t, rest[0]), Bits: 29}}
	default:
		ev.ContainerID, ev.IfName = rest[0], "eth0"
		ev.Addresses = []journal.Address{{IP: address(t, rest[1]), Bits: 29}}
		ev.Config = *config
	}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "lost":
			ev.Attributes = []journal.Attribute{{Key: journal.AttributeLost, Value: value}}
		case "config":
			if value != "" {
				ev.Config = number(t, value)
			}
		case "brings":
			ev.Ranges = named(value)
		case "dropped":
			ev.Dropped = []string{"ranges"}
		case "claimed":
			ev.Claimed = seconds(t, value)
		case "doubt":
			ev.Attributes = append(ev.Attributes, journal.Attribute{Key: journal.AttributeDoubt, Value: "its end may be lost"})
		case "carried":
			ev.Attributes = append(ev.Attributes, journal.Attribute{Key: journal.AttributeParentSeq, Value: "3"})
		}
	}
	return ev
}

// told is an answer in short: the state, the exit code, the holders with their first and last event. A ? says that the
// holder is uncertain, a ! that it was named because it came and went in no time.
func told(a oracle.Answer) string {
	s := fmt.Sprintf("%s %d", a.State, a.Exit())
	for _, h := range a.Holders {
		s += " " + lease(h.Interval)
		if !h.Certain {
			s += "?"
		}
	}
	for _, l := range a.Named {
		s += " " + lease(l) + "!"
	}
	return s
}

func lease(l *oracle.Interval) string {
	return fmt.Sprintf("%s[%d,%d)", l.Owner.ContainerID, l.Start, l.End)
}

// question reads "2 at 12.5", "2 at 12.5 skew 3" and "2 now".
func question(t *testing.T, s *oracle.Store, text string) (netip.Addr, oracle.Question) {
	t.Helper()
	words := strings.Fields(text)
	q := oracle.Question{Now: words[1] == "now", At: s.Now}
	if !q.Now {
		q.At = seconds(t, words[2])
	}
	if len(words) > 4 {
		q.Skew = seconds(t, words[4])
	}
	return address(t, words[0]), q
}

func TestStories(t *testing.T) {
	for _, tt := range stories {
		t.Run(tt.name, func(t *testing.T) {
			s := story(t, tt.events)
			p := oracle.NewPast(s)
			for line := range strings.Lines(tt.answers) {
				asked, want, ok := strings.Cut(strings.TrimSpace(line), ": ")
				if !ok {
					continue
				}
				ip, q := question(t, s, asked)
				if got := told(p.Who(ip, q)); got != want {
					t.Errorf("%s: got %s, want %s: %s\n%s", asked, got, want, tt.because, s)
				}
			}
		})
	}
}
