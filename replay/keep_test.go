package replay_test

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// TestKeptLeasesLetSegmentsGo wipes the bytes that a lease's strings were cut from: what is kept of it stays.
func TestKeptLeasesLetSegmentsGo(t *testing.T) {
	lease := func(text string) state.Lease {
		part := func() (s string) { s, text, _ = strings.Cut(text, "|"); return s }
		return state.Lease{Attachment: state.Attachment{ContainerID: part(), IfName: part()}, NetNS: part(),
			Pod: journal.Pod{Namespace: part(), Name: part(), UID: part()}, Start: 7}
	}
	const text = "c1|eth0|/run/netns/x||web-0|u-1"
	segment := []byte(text)
	kept := replay.Detached(lease(unsafe.String(&segment[0], len(segment))))
	clear(segment)
	if want := lease(text); kept != want {
		t.Errorf("got %+v, want %+v", kept, want)
	}
}
