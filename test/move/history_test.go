package move_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/lab"
)

// TestReasons ends one lease after the other on the only address that there is, in every way that there is, and reads in its
// history why each ended.
func TestReasons(t *testing.T) {
	t.Parallel()
	before, after := newBoot(t, bootBefore), newBoot(t, bootAfter)
	n := with(newNetwork(t, "10.76.0.0/30"), "hostLocalView", true)
	first, second, lasting := nodes.NewNamespace(t), nodes.NewNamespace(t), nodes.NewNamespace(t)
	attach := func(id, netns string, now boot) {
		t.Helper()
		c := add(n, id)
		c.NetNS, c.Args = netns, "IP=10.76.0.2"
		must(t, leaselog, c, now...)
	}
	attach("deleted", lasting, before)
	must(t, leaselog, del(n, "deleted"), before...)
	attach("collected", lasting, before)
	must(t, leaselog, caller.Call{Network: n, Verb: "GC", Valid: []caller.Attachment{}}, before...)
	attach("ordered", lasting, before)
	lab.Must(t, before[0], append(slices.Clone(before[1:]), leasectl, "release", "10.76.0.2", "--reason", "by hand", "--data-dir", n.DataDir)...)
	attach("removed", lasting, before)
	if err := os.Remove(filepath.Join(n.Folder(), "10.76.0.2")); err != nil {
		t.Fatal(err)
	}
	attach("crashed", first, before)
	lab.Must(t, "ip", "netns", "del", filepath.Base(first))
	attach("forgotten", second, before)
	lab.Must(t, "ip", "netns", "del", filepath.Base(second))
	must(t, leaselog, del(n, "nobody"), after...)
	attach("wiped", lasting, after)
	if err := os.RemoveAll(n.Folder()); err != nil {
		t.Fatal(err)
	}
	attach("last", lasting, after)

	var out struct{ Intervals []lease }
	ask(t, n, &out, "history", "--ip", "10.76.0.2")
	var got [][2]string
	for _, l := range out.Intervals {
		reason := "held"
		if l.End != nil {
			reason = l.End.Reason
		}
		got = append(got, [2]string{l.ContainerID, reason})
	}
	want := [][2]string{{"deleted", "del"}, {"collected", "gc"}, {"ordered", "force"}, {"removed", "external"}, {"crashed", "replaced"},
		{"forgotten", "reboot"}, {"wiped", "wiped"}, {"last", "held"}}
	if !slices.Equal(got, want) {
		t.Errorf("history of 10.76.0.2: got %q, want %q", got, want)
	}
}
