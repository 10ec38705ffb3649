package allocator_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/internal/hostlocal"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// claimedAt is the time of files that tests write, and so when their leases began.
var claimedAt = time.Unix(1_700_000_000, 5)

// hostLocal makes a folder of host-local with files; the values are what stands in them.
func hostLocal(t testing.TB, folder string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chtimes(path, claimedAt, claimedAt)); err != nil {
			t.Fatal(err)
		}
	}
}

// storeWith returns a store in dataDir with options.
func storeWith(dataDir string, change func(*allocator.Options)) *allocator.Store {
	o := allocator.Options{Network: "net", DataDir: dataDir, LockTimeout: 10 * time.Second, Version: "test"}
	change(&o)
	return allocator.NewStore(o)
}

// twoPods are files of host-local for c1 and c2, and an empty one.
var twoPods = map[string]string{
	"10.1.0.2": "c1\r\neth0", "2001:db8::2": "c1\r\neth0", "10.1.0.3": "c2", "10.1.0.9": "",
	"last_reserved_ip.0": "10.1.0.3", "last_reserved_ip.1": "2001:db8::2", "lock": "",
}

func TestImportOnFirstAdd(t *testing.T) {
	s := newStore(t)
	hostLocal(t, s.Folder(), twoPods)
	hostLocal(t, s.Folder(), map[string]string{"last_reserved_ip.0": "10.1.0.40"})
	if err := s.Status(nil); err != nil {
		t.Errorf("STATUS before: %v", err)
	}
	held, err := s.Check(owner(1))
	if err != nil || len(held) != 2 {
		t.Errorf("CHECK before: %v, %v", held, err)
	}
	if _, err := s.Check(owner(7)); !errors.Is(err, allocator.ErrNoLease) {
		t.Errorf("CHECK of nobody before: %v", err)
	}
	c, err := s.Add(request(t, 4))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Addresses[0].IP, c.Addresses[1].IP); got != "10.1.0.41 2001:db8::3" {
		t.Errorf("the cursors say 10.1.0.41 2001:db8::3, got %s", got)
	}
	if got, want := kinds(t, s), "genesis import import import import import config add "; got != want {
		t.Fatalf("events %s, want %s", got, want)
	}
	for _, ev := range events(t, s)[1:5] {
		if ev.Claimed != claimedAt.UnixNano() || ev.Blocked != (ev.Addresses[0].IP.String() == "10.1.0.9") {
			t.Errorf("import of %s: claimed %d, blocked %v", ev.Addresses[0].IP, ev.Claimed, ev.Blocked)
		}
	}
	for n, want := range map[int]error{1: allocator.ErrDuplicate, 2: allocator.ErrDuplicate} {
		if _, err := s.Add(request(t, n)); !errors.Is(err, want) {
			t.Errorf("ADD of c%d again: %v, want %v", n, err, want)
		}
	}
	if _, err := s.Add(request(t, 5, "10.1.0.9")); !errors.Is(err, allocator.ErrNotAvailable) {
		t.Errorf("ADD of the blocked address: %v", err)
	}
	release(t, s, 2) // by an interface name that the old file does not have
	if _, err := s.Add(request(t, 6, "10.1.0.3")); err != nil {
		t.Errorf("the old lease was not released: %v", err)
	}
}

// TestImportBySomethingElse: a DEL or GC that concerns what host-local has is the first call, too.
func TestImportBySomethingElse(t *testing.T) {
	for _, tt := range []struct {
		name string
		call func(*allocator.Store) error
		want string // events
		held string
	}{
		{"DEL of a lease", func(s *allocator.Store) error { return s.Del(allocator.DelRequest{Owner: owner(1)}) },
			"genesis import import import import import del ", "10.1.0.3 10.1.0.9"},
		{"DEL of nobody", func(s *allocator.Store) error { return s.Del(allocator.DelRequest{Owner: owner(7)}) }, "", ""},
		{"GC", func(s *allocator.Store) error { return s.GC([]state.Attachment{owner(1)}) },
			"genesis import import import import import del ", "10.1.0.2 10.1.0.9 2001:db8::2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			hostLocal(t, s.Folder(), twoPods)
			if err := tt.call(s); err != nil {
				t.Fatal(err)
			}
			if tt.want == "" {
				if left, err := os.ReadDir(filepath.Dir(s.Folder())); err != nil || len(left) != 1 {
					t.Errorf("made %v, %v", left, err)
				}
				return
			}
			if got := kinds(t, s); got != tt.want {
				t.Errorf("events %s, want %s", got, tt.want)
			}
			if got := strings.Join(files(t, s.Folder()), " "); got != tt.held {
				t.Errorf("files %s, want %s", got, tt.held)
			}
		})
	}
}

// files lists the lease files in a folder.
func files(t testing.TB, folder string) []string {
	t.Helper()
	list, err := hostlocal.List(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range list {
		names = append(names, f.IP.String())
	}
	return names
}

// TestImportIsFinished ends a call before it has claimed the folder: the next one begins anew, and nothing is there twice.
func TestImportIsFinished(t *testing.T) {
	s := newStore(t)
	hostLocal(t, s.Folder(), twoPods)
	add(t, s, 4)
	release(t, s, 4)
	release(t, s, 1)
	hostLocal(t, s.Folder(), twoPods)
	if err := os.Remove(filepath.Join(s.Folder(), journal.ClaimName)); err != nil {
		t.Fatal(err)
	}
	if ip := add(t, s, 5); ip.String() != "10.1.0.4" {
		t.Errorf("got %s, want 10.1.0.4", ip)
	}
	if held, err := s.Check(owner(1)); err != nil || len(held) != 2 {
		t.Errorf("c1 holds %v, %v", held, err)
	}
	if got, want := strings.Count(kinds(t, s), "reset"), 1; got != want {
		t.Errorf("%d resets, want %d: %s", got, want, kinds(t, s))
	}
}

func TestImportFrom(t *testing.T) {
	data, from := t.TempDir(), filepath.Join(t.TempDir(), "old")
	hostLocal(t, from, twoPods)
	s := storeWith(data, func(o *allocator.Options) { o.ImportFrom = from })
	if held, err := s.Check(owner(1)); err != nil || len(held) != 2 {
		t.Errorf("CHECK before: %v, %v", held, err)
	}
	if ip := add(t, s, 4); ip.String() != "10.1.0.4" {
		t.Errorf("got %s, want 10.1.0.4", ip)
	}
	if id, dir, err := journal.ReadClaim(from); err != nil || id != events(t, s)[0].Origin.Journal || dir != s.Dir() {
		t.Errorf("the folder is marked %s in %s, %v", id, dir, err)
	}
	if got := files(t, s.Folder()); len(got) > 0 {
		t.Errorf("no view was asked for, and there are %q", got)
	}
	other := storeWith(t.TempDir(), func(o *allocator.Options) { o.ImportFrom = from })
	if _, err := other.Add(request(t, 5)); !errors.Is(err, allocator.ErrTaken) {
		t.Errorf("a second store: %v, want ErrTaken", err)
	}
	if err := other.Status(nil); !errors.Is(err, allocator.ErrTaken) {
		t.Errorf("its STATUS: %v, want ErrTaken", err)
	}
	// A wipe ends what was imported, and nothing brings it back.
	if err := os.RemoveAll(s.Folder()); err != nil {
		t.Fatal(err)
	}
	if ip := add(t, s, 1); ip.String() != "10.1.0.2" {
		t.Errorf("after a wipe: got %s, want 10.1.0.2", ip)
	}
	if got, want := kinds(t, s), "genesis import import import import import config add reset add "; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

// TestImportFromTakenMeanwhile: a store waits for host-local's lock while another one takes the folder over.
func TestImportFromTakenMeanwhile(t *testing.T) {
	for _, tt := range []struct {
		name string
		call func(s *allocator.Store, from string) error
	}{
		{"by an ADD", func(s *allocator.Store, _ string) error { _, err := s.Add(request(t, 5)); return err }},
		{"by hand", func(s *allocator.Store, from string) error { _, err := s.Import(from); return err }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from := filepath.Join(t.TempDir(), "old")
			hostLocal(t, from, twoPods)
			first := newStore(t)
			add(t, first, 1)
			lock, err := hostlocal.Lock(from, time.Now().Add(time.Second))
			if err != nil {
				t.Fatal(err)
			}
			second := storeWith(t.TempDir(), func(o *allocator.Options) {
				if o.ImportFrom = from; tt.name == "by hand" {
					o.ImportFrom = ""
				}
			})
			done := make(chan error, 1)
			go func() { done <- tt.call(second, from) }()
			for !waitedFor(t, filepath.Join(from, "lock")) {
				select {
				case err := <-done:
					t.Fatalf("did not wait: %v", err)
				case <-time.After(time.Millisecond):
				}
			}
			if _, err := journal.WriteClaim(from, events(t, first)[0].Origin.Journal, first.Dir()); err != nil {
				t.Fatal(err)
			}
			if err := lock.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-done; !errors.Is(err, allocator.ErrTaken) {
				t.Errorf("got %v, want ErrTaken", err)
			}
		})
	}
}

// waitedFor reports whether somebody waits for the flock of a file.
func waitedFor(t *testing.T, path string) bool {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(locks)) {
		if strings.Contains(line, "->") && strings.Contains(line, fmt.Sprintf(":%d ", info.Sys().(*syscall.Stat_t).Ino)) {
			return true
		}
	}
	return false
}

// TestImportFromMarksLate: the call died between claiming its own folder and marking the other.
func TestImportFromMarksLate(t *testing.T) {
	data, from := t.TempDir(), filepath.Join(t.TempDir(), "old")
	hostLocal(t, from, twoPods)
	s := storeWith(data, func(o *allocator.Options) { o.ImportFrom = from })
	if err := s.Del(allocator.DelRequest{Owner: owner(2)}); err != nil {
		t.Fatal(err)
	}
	evs := events(t, s)
	// The same journal without the DEL, which came after the import.
	again := storeWith(t.TempDir(), func(o *allocator.Options) { o.ImportFrom = from })
	if err := os.Remove(filepath.Join(from, journal.ClaimName)); err != nil {
		t.Fatal(err)
	}
	if im, err := again.Import(from); err != nil || len(im.Leases) != 4 {
		t.Fatalf("%+v, %v", im, err)
	}
	if err := os.Remove(filepath.Join(from, journal.ClaimName)); err != nil {
		t.Fatal(err)
	}
	if err := again.Del(allocator.DelRequest{Owner: owner(7)}); err != nil {
		t.Fatal(err)
	}
	if id, _, err := journal.ReadClaim(from); err != nil || id == evs[0].Origin.Journal {
		t.Errorf("the folder is marked %s, %v", id, err)
	}
}

func TestImportFromBad(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, from string)
		want error
	}{
		{"missing", func(*testing.T, string) {}, fs.ErrNotExist},
		{"a file", func(t *testing.T, from string) { hostLocal(t, filepath.Dir(from), map[string]string{"old": ""}) }, nil},
		{"foreign", func(t *testing.T, from string) { hostLocal(t, from, map[string]string{"photo.jpg": ""}) }, allocator.ErrForeign},
		{"damaged mark", func(t *testing.T, from string) {
			hostLocal(t, from, map[string]string{"10.1.0.2": "c", journal.ClaimName: "?"})
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, from := t.TempDir(), filepath.Join(t.TempDir(), "old")
			tt.make(t, from)
			s := storeWith(data, func(o *allocator.Options) { o.ImportFrom = from })
			_, err := s.Add(request(t, 1))
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if left, err := os.ReadDir(data); err != nil || len(left) != 0 {
				t.Errorf("made %v, %v", left, err)
			}
		})
	}
}

// TestImportOfItself names the data folder by a link: it is locked and imported once.
func TestImportOfItself(t *testing.T) {
	data, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	s := storeWith(data, func(o *allocator.Options) { o.ImportFrom = link })
	hostLocal(t, s.Folder(), twoPods)
	if err := os.Symlink(s.Folder(), link); err != nil {
		t.Fatal(err)
	}
	add(t, s, 4)
	if got, want := kinds(t, s), "genesis import import import import import config add "; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

// TestImportConflict has an address in both folders, of different owners.
func TestImportConflict(t *testing.T) {
	data, from := t.TempDir(), filepath.Join(t.TempDir(), "old")
	hostLocal(t, from, map[string]string{"10.1.0.2": "c9\r\neth0", "10.1.0.7": "c7\r\neth0", "10.1.0.3": "c2\r\neth0"})
	var told strings.Builder
	s := storeWith(data, func(o *allocator.Options) {
		o.ImportFrom, o.Warn = from, func(text string) { fmt.Fprintln(&told, text) }
	})
	hostLocal(t, s.Folder(), twoPods)
	add(t, s, 4)
	if held, err := s.Check(owner(1)); err != nil || len(held) != 2 {
		t.Errorf("c1, of the data folder, holds %v, %v", held, err)
	}
	if held, err := s.Check(owner(7)); err != nil || len(held) != 1 {
		t.Errorf("c7, of the other, holds %v, %v", held, err)
	}
	want := "10.1.0.2: held by c1/eth0, and by the files also by c9/eth0"
	last := events(t, s)[7]
	if !strings.Contains(told.String(), want) || len(last.Attributes) != 3 || last.Attributes[0].Value != "2: "+want+"; 10.1.0.3: held by c2/, and by the files also by c2/eth0" {
		t.Errorf("told %q, recorded %+v, want %q", told.String(), last.Attributes, want)
	}
}

// TestImportConflictsOfLongIDs: whatever is recorded of conflicts, there is room to say which folder was taken over.
func TestImportConflictsOfLongIDs(t *testing.T) {
	for _, length := range []int{200, 2900} {
		own, others := map[string]string{"lock": ""}, map[string]string{}
		for i := range 20 {
			own[fmt.Sprintf("10.1.0.%d", 10+i)] = fmt.Sprintf("%s%d\r\neth0", strings.Repeat("a", length), i)
			others[fmt.Sprintf("10.1.0.%d", 10+i)] = fmt.Sprintf("%s%d\r\neth0", strings.Repeat("b", length), i)
		}
		from := filepath.Join(t.TempDir(), "old")
		s := storeWith(t.TempDir(), func(o *allocator.Options) { o.ImportFrom = from })
		hostLocal(t, s.Folder(), own)
		hostLocal(t, from, others)
		add(t, s, 1)
		last := events(t, s)[22]
		if n := len(last.Attributes); n != 3 || !strings.HasPrefix(last.Attributes[0].Value, "20") ||
			strings.HasPrefix(last.Attributes[0].Value, "20: 10.1.0.10: held by aaa") != (length == 200) || last.Attributes[2].Value != from {
			t.Errorf("IDs of %d bytes: recorded %.200v, dropped %v", length, last.Attributes, last.Dropped)
		}
	}
}

func TestImportByHand(t *testing.T) {
	data, from := t.TempDir(), filepath.Join(t.TempDir(), "old")
	hostLocal(t, from, map[string]string{"10.1.0.2": "c9\r\neth0", "10.1.0.7": "c7\r\neth0"})
	s := storeWith(data, func(*allocator.Options) {})
	add(t, s, 1)
	before := kinds(t, s)
	for name, do := range map[string]func(string) (allocator.Imported, error){"plan": s.PlanImport, "import": s.Import} {
		im, err := do(from)
		if len(im.Conflicts) != 1 || len(im.Leases) != 1 || err == nil != (name == "plan") || name == "import" && !errors.Is(err, allocator.ErrConflict) {
			t.Errorf("%s: %+v, %v", name, im, err)
		}
	}
	if kinds(t, s) != before {
		t.Errorf("a conflict changed %s into %s", before, kinds(t, s))
	}
	release(t, s, 1)
	for _, want := range []int{2, 0} {
		plan, err := s.PlanImport(from)
		if err != nil || len(plan.Leases) != want {
			t.Errorf("plan: %+v, %v, want %d leases", plan, err, want)
		}
		im, err := s.Import(from)
		if err != nil || len(im.Leases) != want {
			t.Errorf("import: %+v, %v, want %d leases", im, err, want)
		}
	}
}

// TestImportByHandOfNothing: what the making of the store takes over beside the folder is not the folder's.
func TestImportByHandOfNothing(t *testing.T) {
	data, from := t.TempDir(), t.TempDir()
	s := storeWith(data, func(*allocator.Options) {})
	hostLocal(t, s.Folder(), twoPods)
	if im, err := s.Import(from); err != nil || im.Folder != from || len(im.Leases) > 0 {
		t.Errorf("got %+v, %v, want nothing of %s", im, err, from)
	}
}

// TestImportLate names the folder when the store is there already: it is taken over all the same, once, and a folder that
// is of no use is no reason to fail.
func TestImportLate(t *testing.T) {
	data, from := t.TempDir(), filepath.Join(t.TempDir(), "old")
	s := storeWith(data, func(o *allocator.Options) { o.ImportFrom = from })
	plain := storeWith(data, func(*allocator.Options) {})
	add(t, plain, 1)
	add(t, s, 2) // the folder is missing
	hostLocal(t, from, map[string]string{"photo.jpg": ""})
	add(t, s, 3) // it is not host-local's
	hostLocal(t, from, map[string]string{"10.1.0.2": "c9\r\neth0", "10.1.0.5": "c7\r\neth0"})
	if ip := add(t, s, 4); ip.String() != "10.1.0.6" {
		t.Errorf("got %s, but 10.1.0.5 is held by c7", ip)
	}
	release(t, s, 7)
	if _, err := s.Add(request(t, 5, "10.1.0.5")); err != nil {
		t.Errorf("taken over twice: %v", err)
	}
	if held, err := s.Check(owner(1)); err != nil || len(held) != 2 {
		t.Errorf("c1 holds %v, %v", held, err)
	}
}

// TestImportIntoView: leases that come from another folder have their files in the view, and are not taken for removed.
func TestImportIntoView(t *testing.T) {
	for _, tt := range []struct {
		name string
		call func(t *testing.T, data, from string)
	}{
		{"with the store", func(t *testing.T, data, from string) {
			add(t, storeWith(data, func(o *allocator.Options) {
				o.View, o.ImportFrom = allocator.ViewOn, from
				o.Warn = func(text string) {
					if strings.Contains(text, "host-local's files") {
						t.Error(text)
					}
				}
			}), 4)
		}},
		{"late", func(t *testing.T, data, from string) {
			add(t, storeWith(data, func(o *allocator.Options) { o.View = allocator.ViewOn }), 20)
			release(t, storeWith(data, func(*allocator.Options) {}), 20)
			release(t, storeWith(data, func(o *allocator.Options) { o.ImportFrom = from }), 7)
			add(t, storeWith(data, func(*allocator.Options) {}), 4)
		}},
		{"by hand", func(t *testing.T, data, from string) {
			s := storeWith(data, func(o *allocator.Options) { o.View = allocator.ViewOn })
			add(t, s, 20)
			release(t, s, 20)
			if _, err := storeWith(data, func(*allocator.Options) {}).Import(from); err != nil {
				t.Fatal(err)
			}
			add(t, s, 4)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, from := t.TempDir(), filepath.Join(t.TempDir(), "old")
			hostLocal(t, from, map[string]string{"10.1.0.2": "c1\r\neth0", "10.1.0.3": "c2", "10.1.0.9": "", "last_reserved_ip.0": "10.1.0.40"})
			tt.call(t, data, from)
			s := storeWith(data, func(*allocator.Options) {})
			release(t, s, 7)
			agree(t, s, "10.1.0.2", "10.1.0.3", "10.1.0.9", "10.1.0.41", files(t, s.Folder())[len(files(t, s.Folder()))-1])
			for _, ev := range events(t, s) {
				if ev.Kind == journal.KindRelease {
					t.Errorf("released: %v, %s", ev.Addresses, ev.Reason)
				}
			}
			c, err := hostlocal.Read(s.Folder())
			if err != nil || !c.Leases[0].Time.Equal(claimedAt) || len(c.Warnings) != 1 {
				t.Errorf("files: %+v, %v", c, err)
			}
		})
	}
}
