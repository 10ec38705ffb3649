package move_test

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/trace"
)

// kills is at how many of its system calls a call is killed, spread over all of them. One in four changes nothing.
const kills = 40

// TestKill kills calls on their way, and has either plugin make the next one.
func TestKill(t *testing.T) {
	t.Parallel()
	trace.Need(t)
	tests := []struct {
		name     string
		switched bool // the leases were taken over before
		victim   func(n caller.Network) caller.Call
	}{
		{"importing ADD", false, func(n caller.Network) caller.Call { return add(n, "victim") }},
		{"importing DEL", false, func(n caller.Network) caller.Call { return del(n, "old-3") }},
		{"ADD", true, func(n caller.Network) caller.Call { return add(n, "victim") }},
		{"DEL", true, func(n caller.Network) caller.Call { return del(n, "old-3") }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, "10.77.0.0/24", "fd77::/64")
			fill(t, n, 10)
			put(t, n, "10.77.0.30", "")
			if test.switched {
				must(t, leaselog, add(n, "ours"))
			}
			s := victim{before: n, call: test.victim, owners: files(t, n)}
			points := s.points(t)
			var group sync.WaitGroup
			for w := range 2 {
				group.Go(func() {
					for i := w; i < len(points); i += 2 {
						s.kill(t, points[i], i/2%2 == 0)
					}
				})
			}
			group.Wait()
		})
	}
}

// victim is a call to kill.
type victim struct {
	before caller.Network // as the call finds it
	call   func(n caller.Network) caller.Call
	owners map[netip.Addr]string // before
}

// points returns system calls that concern the network's files, which the call makes when nobody kills it.
func (s *victim) points(t *testing.T) []trace.Call {
	t.Helper()
	n := copyOf(t, s.before)
	path := filepath.Join(t.TempDir(), "trace")
	must(t, pinned, s.call(n), trace.Command(path)...)
	calls, err := trace.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var changes, others []trace.Call
	for _, c := range calls {
		switch {
		case c.Thread != calls[0].Thread || !strings.HasPrefix(c.Path, n.DataDir) || c.Name == "fcntl" || c.Name == "epoll_ctl":
		case slices.Contains(changing, c.Name) || strings.Contains(c.Flags, "O_CREAT"):
			changes = append(changes, c)
		default:
			others = append(others, c)
		}
	}
	return append(spread(changes, kills*3/4), spread(others, kills/4)...)
}

// changing are the names of system calls that change files.
var changing = []string{"write", "pwrite64", "fsync", "ftruncate", "fallocate", "mkdirat", "linkat", "renameat", "renameat2", "unlinkat"}

// spread picks some calls, the first and the last among them.
func spread(all []trace.Call, count int) []trace.Call {
	if len(all) <= count {
		return all
	}
	var some []trace.Call
	for i := range count {
		some = append(some, all[i*(len(all)-1)/(count-1)])
	}
	return some
}

// kill kills the call at the door of a system call; then host-local comes first, or leaselog.
func (s *victim) kill(t *testing.T, at trace.Call, hostLocalFirst bool) {
	n := copyOf(t, s.before)
	name := fmt.Sprintf("killed at %s %d", at, at.Ordinal)
	call := s.call(n)
	a := do(t, pinned, call, trace.Command("/dev/null", "-e", "trace="+at.Name,
		"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", at.Name, at.Ordinal))...)
	if !a.Killed() {
		t.Errorf("%s: %v, want it killed", name, a)
	}
	want := maps.Clone(s.owners)
	plugins := []string{leaselog, hostLocal, leaselog}
	if hostLocalFirst {
		plugins = plugins[1:]
	}
	for i, plugin := range plugins {
		id := fmt.Sprintf("next-%d", i)
		for _, given := range must(t, plugin, add(n, id)).IPs {
			if owner, taken := want[given]; taken && (call.Verb != "DEL" || owner != call.ID+"\r\neth0") {
				t.Errorf("%s: then %s is given to %s, held by %q", name, given, id, owner)
			}
			want[given] = id + "\r\neth0"
		}
	}
	// host-local takes an address whose file is not there yet from under an ADD that nobody has heard of.
	s.judge(t, name, n, a, want, hostLocalFirst && call.Verb == "ADD")
}

// judge compares what is held in the end with what has to be: all that was and all that was given since, each once, and of
// what the killed call was to do all or nothing; half of it, too, where that is left to the DEL that follows a failed ADD.
func (s *victim) judge(t *testing.T, name string, n caller.Network, a caller.Answer, want map[netip.Addr]string, half bool) {
	t.Helper()
	leases := held(t, n)
	same(t, name+": files against the journal", files(t, n), leases)
	call := s.call(n)
	mine := call.ID + "\r\neth0"
	count := 0
	for ip, owner := range leases {
		if owner == mine {
			want[ip] = mine
			count++
		}
	}
	if count == 0 {
		maps.DeleteFunc(want, func(_ netip.Addr, owner string) bool { return owner == mine })
	}
	if count != 0 && count != 2 && !half {
		t.Errorf("%s: %s holds %d addresses, want 2 or none", name, call.ID, count)
	}
	if answered := a.Stdout != ""; answered && count != 2 {
		t.Errorf("%s: after its answer, and %s holds %d addresses, want 2", name, call.ID, count)
	}
	same(t, name+": leases", leases, want)

	must(t, leaselog, del(n, call.ID)) // as runtimes do
	maps.DeleteFunc(want, func(_ netip.Addr, owner string) bool { return owner == mine })
	same(t, name+": files after the DEL", files(t, n), want)
}
