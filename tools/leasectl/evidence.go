package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/leaselog/leaselog/internal/netns"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// finding is what one kind of evidence says of a lease's owner. The zero finding is that it can't say.
type finding uint8

const (
	unjudged finding = iota
	living
	dead
)

var findingNames = [...]string{unjudged: "unknown", living: "alive", dead: "dead"}

func (f finding) String() string { return findingNames[f] }

// evidence tells the dead from the living.
type evidence interface {
	name() string
	// observe looks at the world anew. An error means that nothing can be told.
	observe(o *observation) error
	// judge says what was seen of the lease's owner, and in words why.
	judge(network string, l *state.Lease) (finding, string)
}

// observation is one look at the world.
type observation struct {
	clock journal.Clock // when it began
	begun journal.Clock // when the run began
}

// sinceBegan returns how long before the run's beginning a lease of this boot was given; later is negative.
func (o *observation) sinceBegan(l *state.Lease) (time.Duration, bool) {
	same := l.Clock.Boot != (journal.BootID{}) && l.Clock.Boot == o.begun.Boot
	return time.Duration(o.begun.BootTime - l.Clock.BootTime), same
}

// ownerless is what all evidence but a reboot says of a blocked address.
const ownerless = "the address is blocked and has no owner to look for"

// netnsEvidence judges by what has become of the recorded network namespace.
type netnsEvidence struct {
	apart     bool            // this process does not see all processes of the node
	elsewhere bool            // this process does not see the file system as the node's first process does
	shown     map[string]bool // whether a namespace is seen in a folder, by the folder
}

func newNetNSEvidence() *netnsEvidence {
	// The kernel's first PID namespace has a fixed number.
	const first = 0xEFFFFFFC
	link, err := os.Readlink("/proc/self/ns/pid")
	apart := err != nil || link != fmt.Sprintf("pid:[%d]", uint32(first))
	own, errOwn := os.Readlink("/proc/self/ns/mnt")
	node, errNode := os.Readlink("/proc/1/ns/mnt")
	return &netnsEvidence{apart: apart, elsewhere: errOwn != nil || errNode != nil || own != node}
}

func (*netnsEvidence) name() string { return "netns" }

// observe forgets what was seen: each look is a fresh one.
func (e *netnsEvidence) observe(*observation) error {
	e.shown = map[string]bool{}
	return nil
}

// ownRun reports whether this process may have another folder than the runtime where the path leads, as a container has its
// own /run.
func (e *netnsEvidence) ownRun(path string) bool {
	path = filepath.Clean(path)
	return (e.apart || e.elsewhere) && (strings.HasPrefix(path, "/run/") || strings.HasPrefix(path, "/var/run/"))
}

// shows reports whether any network namespace is seen in a folder. A container's own /run/netns has none.
func (e *netnsEvidence) shows(folder string) bool {
	shown, known := e.shown[folder]
	if known {
		return shown
	}
	entries, _ := os.ReadDir(folder)
	shown = slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		return netns.Identify(filepath.Join(folder, entry.Name())) != (journal.NetNSID{})
	})
	if e.shown != nil {
		e.shown[folder] = shown
	}
	return shown
}

func (e *netnsEvidence) judge(_ string, l *state.Lease) (finding, string) {
	if l.Blocked {
		return unjudged, ownerless
	}
	sight, why := netns.Look(l.NetNS, l.NetNSID)
	switch {
	case sight == netns.Alive:
		return living, why
	case sight == netns.Gone && e.apart && strings.HasPrefix(filepath.Clean(l.NetNS), "/proc/"):
		return unjudged, why + ", or is not seen from the PID namespace of leasectl: run it on the node"
	case sight == netns.Gone && e.ownRun(l.NetNS) && !e.shows(filepath.Dir(l.NetNS)):
		return unjudged, why + ", but no namespace at all is seen there from the mount namespace of leasectl: run it on the node"
	case sight == netns.Gone:
		return dead, why
	}
	return unjudged, why
}

// firstCNI is the year of the first CNI plugin. A node without a clock that runs on without power begins its days before that.
const firstCNI = 2015

// bootEvidence judges by whether the node has booted since.
type bootEvidence struct{ now journal.Clock }

func (*bootEvidence) name() string { return "boot" }

func (e *bootEvidence) observe(o *observation) error {
	e.now = o.clock
	if e.now.Boot == (journal.BootID{}) {
		return errors.New("the kernel has no boot ID, so no boot can be told from another")
	}
	return nil
}

func (e *bootEvidence) judge(_ string, l *state.Lease) (finding, string) {
	begun := e.now.Time().Add(-time.Duration(e.now.BootTime))
	switch {
	case l.Clock.Boot == (journal.BootID{}):
		return unjudged, "no boot ID was recorded"
	case l.Clock.Boot != e.now.Boot:
		return dead, fmt.Sprintf("recorded in boot %s, and this is another one", l.Clock.Boot)
	case !l.Import:
		return living, "given in this boot"
	case l.Claimed == 0:
		return unjudged, "imported in this boot, and its source does not tell when it began"
	}
	claimed := time.Unix(0, l.Claimed)
	if claimed.Year() < firstCNI {
		return unjudged, fmt.Sprintf("began at %s by the word of its source, whose clock was not set then", stamp(claimed))
	}
	if claimed.Before(begun) {
		return dead, fmt.Sprintf("began at %s by the word of its source, before this boot at about %s", stamp(claimed), stamp(begun))
	}
	return living, fmt.Sprintf("began at %s by the word of its source, in this boot", stamp(claimed))
}

// liveEvidence judges by a list of the living.
type liveEvidence struct {
	allowEmpty bool
	grace      time.Duration
	open       func() (*liveList, error)
	once       bool // the list can be read only once
	list       *liveList
	seen       *observation // when the list was read
}

func (*liveEvidence) name() string { return "live" }

func (e *liveEvidence) observe(o *observation) error {
	if e.once && e.list != nil {
		return nil
	}
	l, err := e.open()
	if err != nil {
		return err
	}
	if len(l.ids) == 0 && !e.allowEmpty {
		return fmt.Errorf("%s is empty; give --allow-empty if really no container is alive", l.name)
	}
	e.list, e.seen = l, o
	return nil
}

func (e *liveEvidence) judge(_ string, l *state.Lease) (finding, string) {
	if l.Blocked {
		return unjudged, ownerless
	}
	if _, how := e.list.names(l.ContainerID); how != "" {
		return living, how
	}
	if why := e.tooNew(l); why != "" {
		return unjudged, why
	}
	return dead, "not listed"
}

// tooNew says why the list may not know the container yet, "" if it must.
func (e *liveEvidence) tooNew(l *state.Lease) string {
	age, same := e.seen.sinceBegan(l)
	switch {
	case !same:
	case age <= 0:
		return "not listed, but began after leasectl did"
	case e.once && age < e.grace:
		return fmt.Sprintf("not listed, but began only %s before the list was read", age.Round(time.Millisecond))
	}
	// A file that was written while the container was being made does not know it, however often it is read.
	switch w := e.list.written; {
	case w.IsZero() || l.Clock.Time().Add(e.grace).Before(w):
	case !l.Clock.Time().Before(w):
		return fmt.Sprintf("not listed, but began after the list was written at %s", stamp(w))
	case !l.Import:
		return fmt.Sprintf("not listed, but began only %s before the list was written at %s", w.Sub(l.Clock.Time()).Round(time.Millisecond), stamp(w))
	}
	return ""
}

// matches reports whether any of the leases is of a listed container.
func (e *liveEvidence) matches(leases []*judged) bool {
	return slices.ContainsFunc(leases, func(j *judged) bool {
		_, how := e.list.names(j.lease.ContainerID)
		return how != ""
	})
}

// cacheEvidence judges by whether the CNI library still has the attachment's result: it deletes the file after DEL.
type cacheEvidence struct {
	dir        string
	allowEmpty bool
	names      []string // of the files, sorted
	seen       *observation
}

func (*cacheEvidence) name() string { return "cni-cache" }

func (e *cacheEvidence) observe(o *observation) error {
	dir, entries, err := cachedResults(e.dir)
	if err != nil {
		return err
	}
	if len(entries) == 0 && !e.allowEmpty {
		return fmt.Errorf("CNI cache: %s is empty; give --allow-empty if really no container is alive", dir)
	}
	e.names, e.seen = nil, o
	for _, entry := range entries {
		e.names = append(e.names, entry.Name())
	}
	return nil
}

// maxFileName is the longest name that Linux file systems take, in bytes.
const maxFileName = 255

func (e *cacheEvidence) judge(network string, l *state.Lease) (finding, string) {
	if l.Blocked {
		return unjudged, ownerless
	}
	name := network + "-" + l.ContainerID + "-" + l.IfName
	at, found := slices.BinarySearch(e.names, name)
	if l.IfName == "" { // of before interface names were recorded: any will do
		found = at < len(e.names) && strings.HasPrefix(e.names[at], name)
	}
	switch age, same := e.seen.sinceBegan(l); {
	case found:
		return living, "the cache has a result of it"
	case len(name) > maxFileName || strings.Contains(name, "/"):
		return unjudged, "its name is too long for a file in the cache"
	case same && age <= 0:
		return unjudged, "no result in the cache, but it began after leasectl did"
	}
	return dead, "no result of it in the cache"
}
