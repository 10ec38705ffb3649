package process_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/trace"
)

// TestFullDiskAfterRotation has the folder's sync fail for want of space when the new segment is
// there already: nothing may go into the old one any more, so even a DEL is refused, once.
func TestFullDiskAfterRotation(t *testing.T) {
	trace.Need(t)
	n := newNetwork(t)
	must(t, n.add("c0"))
	folder := filepath.Join(n.storeDir(), "journal")
	fillSegment(t, n.storeDir(), filepath.Join(folder, "00000000000000000001"))
	c := n.del("c0")
	c.under = []string{"strace", "-f", "-qq", "-o", os.DevNull, "-P", folder, "-e", "trace=fsync", "-e", "inject=fsync:error=ENOSPC"}
	refused(t, c, codeStorage)
	segments, err := os.ReadDir(folder)
	if err != nil || len(segments) != 2 {
		t.Fatalf("%d segments, %v; want the new one too", len(segments), err)
	}
	if info, err := segments[1].Info(); err != nil || info.Size() != 0 {
		t.Errorf("the new segment holds %d bytes, %v", info.Size(), err)
	}
	must(t, n.del("c0"))
	must(t, n.add("c1"))
	readHistory(t, n)
}

// fillSegment appends until the next event needs another segment.
func fillSegment(t *testing.T, storeDir, segment string) {
	t.Helper()
	j, err := journal.Open(storeDir, time.Now().Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Load(0, journal.Hash{}, func(*journal.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	const target, least = 64 << 10, 150 // bytes: of a segment, of an event
	for {
		info, err := os.Stat(segment)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > target-least {
			return
		}
		if err := j.Append(&journal.Event{Kind: journal.KindDel, Reason: journal.ReasonDel, ContainerID: "nobody", IfName: "e"}); err != nil {
			t.Fatal(err)
		}
	}
}
