package rot_test

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// watched counts how often files are opened, read or written.
type watched struct {
	fd    int
	names map[int32]string
	uses  map[string]int
}

// collect takes in what happened since the last time.
func (w *watched) collect(t *testing.T) {
	t.Helper()
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(w.fd, buf)
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			id := int32(binary.NativeEndian.Uint32(b))
			if mask := binary.NativeEndian.Uint32(b[4:]); mask&unix.IN_Q_OVERFLOW != 0 {
				t.Fatal("the kernel dropped events")
			}
			w.uses[w.names[id]]++
			b = b[unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(b[12:])):]
		}
	}
}

// TestNeverOpened: whatever bytes a file holds make no difference to calls that never open it. So is the
// reserve, which is too long to be damaged bit by bit, and so are files that calls need only after other damage.
func TestNeverOpened(t *testing.T) {
	p := newPool(t)
	w := newWorker(t, p.f, p.m, p.workerRoot(0))
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Skipf("inotify: %v", err)
	}
	defer unix.Close(fd)
	seen := watched{fd: fd, names: map[int32]string{}, uses: map[string]int{}}
	for _, name := range p.f.names {
		id, err := unix.InotifyAddWatch(fd, w.path(name), unix.IN_OPEN|unix.IN_ACCESS|unix.IN_MODIFY)
		if err != nil {
			t.Fatalf("watch %s: %v", name, err)
		}
		seen.names[int32(id)] = name
	}
	for _, m := range allModes {
		for s := range scripts {
			j := job{metaFile, m, damage{extendZeros, 0}, s} // which changes nothing, and asks about all
			if err := w.hurt(j); err != nil {
				t.Fatal(err)
			}
			seen.collect(t)
			clear(seen.uses)
			w.check(j)
			c := w.call(scripts[s])
			err := errors.Join(w.store.Status(p.f.dual), c.addErr, c.delErr)
			seen.collect(t)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range p.f.names {
				if used, wanted := seen.uses[name] > 0, neededByCalls(name); used != wanted {
					t.Errorf("marker %s, %s: %s was opened %d times, wanted: %t", m, scripts[s].name, name, seen.uses[name], wanted)
				}
			}
			if err := w.heal(t, j); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// neededByCalls says which files a call on an undamaged store opens.
func neededByCalls(name string) bool {
	switch name {
	case claimFile, metaFile, lockFile, snapshotFile(newerSnapshot):
		return true
	}
	return strings.HasPrefix(name, journalDir) && filepath.Base(name) >= filepath.Base(segmentFile(live[1]))
}
