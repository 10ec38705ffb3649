package crash

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// leaseFile returns the address that a file of host-local is the lease of.
func leaseFile(path string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(filepath.Base(path))
	return ip, err == nil
}

// fileOwner returns whom the content of a lease file names; nobody, and the address is blocked, if it is empty.
func fileOwner(content string) state.Attachment {
	id, ifName, _ := strings.Cut(content, "\r\n")
	return state.Attachment{ContainerID: id, IfName: ifName}
}

// hostLocal writes what host-local has left in a folder, some hours ago: files by name with what is in them. Each owner's
// leases are a promise that somebody was given before the recording begins.
func (r *recorder) hostLocal(folder string, files map[string]string) {
	r.t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		r.t.Fatal(err)
	}
	at := time.Now().Add(-3 * time.Hour).Truncate(time.Second)
	owned := held{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(folder, name)
		at = at.Add(time.Minute + time.Microsecond)
		if err := errors.Join(os.WriteFile(path, []byte(files[name]), 0o600), os.Chtimes(path, at, at)); err != nil {
			r.t.Fatal(err)
		}
		if ip, ok := leaseFile(name); ok {
			owner := fileOwner(files[name])
			owned[owner] = append(owned[owner], ip)
		}
	}
	for owner, ips := range owned {
		c := &recordedCall{verb: "FILES", owner: owner, status: acknowledged}
		c.answer.IPs = ips
		r.calls = append(r.calls, c)
	}
}

// keepsFiles reports whether the store keeps host-local's files up to date.
func (tr *trial) keepsFiles() (bool, error) {
	_, err := os.Stat(filepath.Join(tr.root, moved(tr.rec.storeDir(), tr.rec.root, ""), "view"))
	if errors.Is(err, fs.ErrNotExist) && !tr.rec.keeps {
		return false, nil
	}
	return err == nil, err
}

// files compares the files in the network's folder with who holds what, and the cursors with what the newest ADD was
// given. In a folder that was imported from there must be the mark.
func (tr *trial) files(now held) error {
	folder := moved(tr.rec.net.Folder(), tr.rec.root, tr.root)
	keeps, err := tr.keepsFiles()
	if err == nil && keeps {
		err = filesSay(folder, now)
		for i, ip := range tr.given {
			text, err2 := os.ReadFile(filepath.Join(folder, fmt.Sprintf("last_reserved_ip.%d", i)))
			if err = errors.Join(err, err2); err2 == nil && string(text) != ip.String() {
				err = errors.Join(err, fmt.Errorf("host-local's cursor %d is %q, given was %s", i, text, ip))
			}
		}
	}
	from, ok := tr.rec.net.Keys["importFrom"].(string)
	if err != nil || !ok {
		return err
	}
	by, _, err := journal.ReadClaim(moved(from, tr.rec.root, tr.root))
	if err != nil {
		return fmt.Errorf("the folder that was imported from is not marked: %w", err)
	}
	if meta, err := journal.ReadMeta(moved(tr.rec.storeDir(), tr.rec.root, tr.root)); err != nil || by != meta.ID {
		return fmt.Errorf("the folder that was imported from is marked by journal %s: %w", by, err)
	}
	return nil
}

// filesSay compares the lease files in a folder with who holds what.
func filesSay(folder string, want held) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	got := held{}
	for _, e := range entries {
		ip, ok := leaseFile(e.Name())
		if !ok {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return err
		}
		owner := fileOwner(string(content))
		got[owner] = append(got[owner], ip)
	}
	for _, h := range []held{got, want} {
		for owner := range h {
			if !slices.Equal(sorted(got[owner]), sorted(want[owner])) {
				return fmt.Errorf("by host-local's files %q holds %v, by the journal %v", owner, got[owner], want[owner])
			}
		}
	}
	return nil
}

// handedOver looks, before anybody else does, at the folder of a network that was given back to host-local: it is not claimed,
// and its files say what is held.
func (tr *trial) handedOver() error {
	folder := moved(tr.rec.net.Folder(), tr.rec.root, tr.root)
	if by, _, err := journal.ReadClaim(folder); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the folder was handed over, and is claimed by journal %s: %v", by, err)
	}
	want := held{}
	for owner, allowed := range tr.promise.allowed {
		want[owner] = allowed[0]
	}
	return filesSay(folder, want)
}

// expectedWarning reports whether a text is what the taking over of host-local's files has to say.
func (tr *trial) expectedWarning(text string) bool {
	if tr.between.IsValid() {
		return strings.HasSuffix(text, tr.between.String()+" was written by another program: its lease is taken over")
	}
	return tr.promise.untaken && (strings.Contains(text, "took over ") && strings.Contains(text, " leases of host-local from ") ||
		strings.Contains(text, "empty: ") && strings.HasSuffix(text, " is held back as blocked"))
}

// hostLocals is the container that host-local gives an address before any call after the crash, unless it is one that had it
// before and has been told to have lost it.
var hostLocals = state.Attachment{ContainerID: "host-local-s", IfName: "eth0"}

// hostLocalFirst has host-local give an address that was held once and of which nothing is left: neither a file nor, whatever
// a crash may have left of the calls, a lease.
func (tr *trial) hostLocalFirst() error {
	taken := map[netip.Addr]bool{}
	for _, allowed := range tr.promise.allowed {
		for _, ip := range slices.Concat(allowed...) {
			taken[ip] = true
		}
	}
	for _, c := range tr.rec.calls {
		for _, ip := range c.given() {
			path := filepath.Join(moved(tr.rec.net.Folder(), tr.rec.root, tr.root), ip.String())
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if taken[ip] || err != nil {
				if err == nil {
					err = errors.Join(f.Close(), os.Remove(path))
				}
				if err != nil && !errors.Is(err, fs.ErrExist) {
					return err
				}
				continue
			}
			tr.between, tr.to = ip, hostLocals
			if a := tr.promise.allowed[c.owner]; tr.round%8 == 2 && len(a) == 1 && len(a[0]) == 0 {
				tr.to = c.owner
			}
			_, err = f.WriteString(tr.to.ContainerID + "\r\n" + tr.to.IfName)
			return errors.Join(err, f.Close())
		}
	}
	return nil
}
