package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/leaselog/leaselog/journal"
)

// Sight is what can be said of a network namespace. The zero Sight is Unseen.
type Sight uint8

// What can be said of a network namespace.
const (
	Unseen Sight = iota // nothing
	Alive               // it is there
	Gone                // its path leads to nothing or to another one
)

// String returns "unseen", "alive" or "gone".
func (s Sight) String() string {
	switch s {
	case Alive:
		return "alive"
	case Gone:
		return "gone"
	default:
		return "unseen"
	}
}

// ownPath is the namespace of this process; that it can be seen shows that /proc is there, too.
const ownPath = "/proc/self/ns/net"

// Identify returns what tells the network namespace at path from others, zero if there is none that can be seen.
func Identify(path string) journal.NetNSID {
	id, _, err := look(path)
	if err != nil {
		return journal.NetNSID{}
	}
	return id
}

// Look says what has become of the network namespace at path, and in words why. The ID is what Identify returned
// when the path was recorded, and may be zero.
//
// A namespace that was unmounted and is mounted at its path again counts as another one: the kernel gives the same
// number again, and what then tells them apart is when the mounted one was made.
//
// A path that leads to the namespace of this very process proves nothing without an ID: either another process
// has got the container's number, or this one was started inside the container to look around.
func Look(path string, id journal.NetNSID) (Sight, string) {
	if path == "" {
		return Unseen, "no network namespace was recorded"
	}
	found, own, err := look(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(path)
	case err != nil:
		return Unseen, err.Error()
	case id.Inode == 0 && found.Inode == own:
		return Unseen, path + " leads to the namespace of this process, and which one it led to was not recorded"
	case id.Inode == 0:
		return Alive, path + " leads to a namespace; whether to the same one was not recorded"
	case found.Inode != id.Inode:
		return Gone, fmt.Sprintf("%s leads to namespace %d now, not to %d", path, found.Inode, id.Inode)
	case found.Made != 0 && id.Made != 0 && found.Made != id.Made:
		return Gone, fmt.Sprintf("%s leads to a namespace that got the number %d again later", path, id.Inode)
	}
	return Alive, fmt.Sprintf("%s leads to namespace %d as recorded", path, id.Inode)
}

// Errors of look, about paths that lead to something.
var (
	errNotAbsolute = errors.New("not an absolute path")
	errWhoLooks    = errors.New("leads somewhere else for each process, or each time")
	errOther       = errors.New("not a namespace; perhaps one is mounted there that this process does not see")
)

// look returns the namespace at path, and the number of this process's own. The error is fs.ErrNotExist only if
// the path itself leads nowhere.
func look(path string) (found journal.NetNSID, own uint64, err error) {
	if !filepath.IsAbs(path) {
		return found, 0, &fs.PathError{Op: "look at", Path: path, Err: errNotAbsolute}
	}
	if passing(path) {
		return found, 0, &fs.PathError{Op: "look at", Path: path, Err: errWhoLooks}
	}
	self, err := os.Stat(ownPath)
	if err != nil {
		return found, 0, fmt.Errorf("no namespace can be seen: %v", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return found, 0, err
	}
	link := info.Mode()&fs.ModeSymlink != 0
	if link {
		if info, err = os.Stat(path); err != nil {
			return found, 0, err
		}
	}
	there, here := info.Sys().(*syscall.Stat_t), self.Sys().(*syscall.Stat_t)
	if there.Dev != here.Dev {
		return found, 0, &fs.PathError{Op: "look at", Path: path, Err: errOther}
	}
	found.Inode = there.Ino
	if !link {
		// A mount holds on to the kernel's inode, so the time of its making stays. Otherwise it is made anew for
		// whoever looks. Of its times this is the one that a change of owner or mode does not touch.
		found.Made = info.ModTime().UnixNano()
	}
	return found, here.Ino, nil
}

// missing says what a path that leads nowhere proves. Runtimes delete the file when they give up the namespace; but
// where its folder is not there either, they work in a view of the file system that is not ours.
func missing(path string) (Sight, string) {
	if pid, ok := processOf(path); ok {
		return ended(path, pid)
	}
	if target, err := os.Readlink(path); err == nil {
		if pid, ok := processOf(target); ok {
			return ended(path, pid)
		}
		return Unseen, fmt.Sprintf("%s is a link to %s, which is not there", path, target)
	}
	folder := filepath.Dir(path)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return Unseen, folder + " is not there; perhaps this process does not see it"
	}
	return Gone, path + " is not there any more"
}

// ended says what it means that the path of a process's namespace leads nowhere: as long as the process is listed, only that
// the one thread has ended. Where /proc hides processes, they still are there for signals.
func ended(path string, pid int) (Sight, string) {
	if _, err := os.Lstat(filepath.Join("/proc", strconv.Itoa(pid))); !errors.Is(err, fs.ErrNotExist) {
		return Unseen, fmt.Sprintf("%s leads nowhere, but process %d is not gone", path, pid)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		return Unseen, fmt.Sprintf("process %d is hidden", pid)
	}
	return Gone, fmt.Sprintf("process %d, whose namespace it was, has ended", pid)
}

// processOf returns the process whose namespace the path names in /proc.
func processOf(path string) (pid int, ok bool) {
	rest, ok := strings.CutPrefix(filepath.Clean(path), "/proc/")
	if !ok {
		return 0, false
	}
	parts := strings.Split(rest, "/")
	thread := len(parts) == 5 && parts[1] == "task" && number(parts[2])
	if thread {
		parts = append(parts[:1], parts[3:]...)
	}
	if len(parts) != 3 || !number(parts[0]) || parts[1] != "ns" || parts[2] != "net" {
		return 0, false
	}
	pid, err := strconv.Atoi(parts[0])
	return pid, err == nil && pid > 0
}

// passing reports whether the path says nothing later of what it led to: /proc/self and open files.
func passing(path string) bool {
	path = filepath.Clean(path)
	_, ok := processOf(path)
	return !ok && (strings.HasPrefix(path, "/proc/") || strings.HasPrefix(path, "/dev/"))
}

// number reports whether s is digits, as the names of processes in /proc are.
func number(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
