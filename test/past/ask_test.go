package past_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/test/caller"
)

// said is what leasectl gave for an answer.
type said struct {
	args           []string
	exit           int
	stdout, stderr string
}

func (s said) String() string {
	return fmt.Sprintf("leasectl %s: exit %d, stdout %.4500s, stderr %.600s", strings.Join(s.args, " "), s.exit, s.stdout, s.stderr)
}

// ask runs leasectl, below the words of under if there are any. It may be called from any goroutine.
func ask(t *testing.T, under []string, args ...string) said {
	t.Helper()
	return askAs(t, nil, under, args...)
}

// askAs is ask for a user; nil is this one.
func askAs(t *testing.T, as *syscall.Credential, under []string, args ...string) said {
	t.Helper()
	argv := append(slices.Clone(under), leasectl)
	argv = append(argv, args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	s := said{args, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || strings.Contains(s.stderr, "panic:") || strings.Contains(s.stderr, "goroutine ") {
		t.Errorf("%v: %v", s, err)
	}
	return s
}

// point, lease and change are as leasectl tells them.
type point struct {
	Seq             journal.Seq
	Time, Effective time.Time
}

type lease struct {
	Network     string
	IP          netip.Addr
	ContainerID string `json:"container_id"`
	IfName      string
	Start       point
	End         *end
	Certainty   string
	Doubts      []string
	Evidence    struct{ File string }
}

type end struct {
	point
	Reason string
}

// name tells a lease from all others.
func (l lease) name() string {
	return fmt.Sprintf("%s %s %s event %d", l.Network, l.IP, l.ContainerID, l.Start.Seq)
}

type change struct {
	Change        string
	Network       string
	IP            netip.Addr
	Before, After []lease
}

// event and network are as leasectl tells them, network also those of stats.
type event struct {
	Network     string
	Seq         journal.Seq
	ContainerID string `json:"container_id"`
	Prev        string
	Evidence    struct{ SHA256 string }
}

type network struct {
	Network string
	LastSeq journal.Seq `json:"last_seq"`
	Held    int         // by stats
	Leases  int         // by networks
	Adds    int
	Dels    int
	Damage  []string
}

// reply is the JSON of any answer.
type reply struct {
	Schema    string
	Certainty string
	State     string
	Verdict   string
	Doubts    []string
	Stores    []struct {
		Network  string
		Dir      string
		Live     bool
		FirstSeq journal.Seq `json:"first_seq"`
		LastSeq  journal.Seq `json:"last_seq"`
	}
	Holders   []lease
	Leases    []lease
	Intervals []lease
	Added     []change
	Removed   []change
	Moved     []change
	Reused    []change
	Events    []event
	Networks  []network
	Findings  []struct {
		Severity, File, What string
		FirstSeq             journal.Seq `json:"first_seq"`
		LastSeq              journal.Seq `json:"last_seq"`
	}
}

// read reads an answer in JSON; torn or of another command, it fails the test.
func (s said) read(t *testing.T) reply {
	t.Helper()
	var r reply
	if err := json.Unmarshal([]byte(s.stdout), &r); err != nil {
		t.Errorf("%v: %v", s, err)
	} else if want := "leaselog." + s.args[0] + "/"; !strings.HasPrefix(r.Schema, want) {
		t.Errorf("%v: schema %q, want %s", s, r.Schema, want)
	}
	return r
}

// answer is what who says, from wherever.
type answer struct {
	exit    int
	state   string
	holders []string // container IDs
	detail  string   // for messages
}

// whoSaid makes an answer of what leasectl gave for one.
func whoSaid(t *testing.T, s said) answer {
	t.Helper()
	r := s.read(t)
	a := answer{exit: s.exit, state: r.State, detail: s.String()}
	for _, l := range r.Holders {
		a.holders = append(a.holders, l.ContainerID)
	}
	return a
}

// whoRead makes an answer of what package replay says.
func whoRead(h replay.Holding) answer {
	a := answer{state: h.State.String(), detail: fmt.Sprintf("%s, %s, %q", h.State, h.Certainty, h.Doubts)}
	for i := range h.Holders {
		iv := &h.Holders[i]
		a.holders = append(a.holders, iv.Lease.ContainerID)
		a.detail += fmt.Sprintf("; %s from %s, %q", iv.Lease.ContainerID, iv.Start.Effective, iv.Doubts)
		if iv.End != nil {
			a.detail += fmt.Sprintf(" to %s by %s", iv.End.Effective, iv.End.Reason)
		}
	}
	switch {
	case h.Certainty == replay.Unknown:
		a.exit = 3
	case h.Certainty == replay.Uncertain, h.Several:
		a.exit = 2
	case len(a.holders) == 0:
		a.exit = 1
	}
	return a
}

// past is the history of a network as package replay reads it.
type past struct {
	*replay.History
	covered time.Time // now for a store in use, zero for others
}

func readPast(t *testing.T, n caller.Network, now int64) past {
	t.Helper()
	j, err := journal.OpenReader(n.StoreDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	a, err := archive.Over(n.StoreDir(), j)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	h, err := replay.Read(a.Records(0), replay.Options{})
	if err == nil {
		err = h.Stopped
	}
	if err != nil {
		t.Fatal(err)
	}
	p := past{History: h}
	if j.Coverage().Live {
		p.covered = instant(now)
	}
	return p
}

func (p past) asked(at int64) replay.Asked {
	return replay.Asked{From: instant(at), To: instant(at), Covered: p.covered}
}

// tally counts what questions were decided how.
type tally struct{ held, doubtful, free, unknown, open int }

// agrees holds an answer against what was seen from outside.
func (v verdict) agrees(t *testing.T, ip netip.Addr, at int64, a answer, n *tally) {
	t.Helper()
	wrong := func(want string) {
		t.Helper()
		t.Errorf("who %s --at %s: want %s, with exit %v; got %s", ip, stamp(at), want, v.exits, a.detail)
	}
	switch {
	case !v.decided:
		n.open++
	case v.free:
		n.free++
	case v.holder == nil:
		n.unknown++
	case slices.Equal(v.exits, []int{2}):
		n.doubtful++
	default:
		n.held++
	}
	maybe := func(id string) bool {
		return slices.ContainsFunc(v.maybe, func(tn *tenure) bool { return tn.id == id })
	}
	switch {
	case !slices.Contains(v.exits, a.exit):
		wrong("what was seen from outside")
	case v.holder != nil && (a.state != "held" || !slices.Equal(a.holders, []string{v.holder.id})):
		wrong("held by " + v.holder.String())
	case v.free && (a.state != "free" || len(a.holders) > 0):
		wrong("free")
	case slices.ContainsFunc(a.holders, func(id string) bool { return (v.holder == nil || id != v.holder.id) && !maybe(id) }):
		wrong(fmt.Sprintf("one of %v", v.maybe))
	case a.exit == 1 && a.state != "free", a.exit == 3 && a.state != "unknown":
		wrong("another state")
	}
}
