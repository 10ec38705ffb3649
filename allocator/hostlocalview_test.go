package allocator_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/internal/hostlocal"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// viewStore returns a store that keeps host-local's files, with nothing on disk yet.
func viewStore(t testing.TB) *allocator.Store {
	t.Helper()
	return storeWith(t.TempDir(), func(o *allocator.Options) { o.View = allocator.ViewOn })
}

// agree checks that files and leases say the same.
func agree(t testing.TB, s *allocator.Store, want ...string) {
	t.Helper()
	slices.Sort(want)
	got := files(t, s.Folder())
	if !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	held := map[string]bool{}
	for _, ev := range events(t, s) {
		for _, a := range ev.Addresses {
			switch ev.Kind {
			case journal.KindAdd, journal.KindImport:
				held[a.IP.String()] = true
			default:
				delete(held, a.IP.String())
			}
		}
	}
	for _, ip := range want {
		if !held[ip] {
			t.Errorf("%s has a file and is not held", ip)
		}
		delete(held, ip)
	}
	for ip := range held {
		t.Errorf("%s is held and has no file", ip)
	}
}

// lastEvents returns the newest n events, as kind, reason and addresses.
func lastEvents(t testing.TB, s *allocator.Store, n int) string {
	t.Helper()
	var texts []string
	evs := events(t, s)
	for _, ev := range evs[len(evs)-n:] {
		text := ev.Kind.String()
		if ev.Reason != 0 {
			text += " " + ev.Reason.String()
		}
		for _, a := range ev.Addresses {
			text += " " + a.IP.String()
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

func TestViewFollows(t *testing.T) {
	s := viewStore(t)
	add(t, s, 1)
	agree(t, s, "10.1.0.2", "2001:db8::2")
	if b, err := os.ReadFile(filepath.Join(s.Folder(), "10.1.0.2")); string(b) != "c1\r\neth0" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	add(t, s, 2)
	release(t, s, 1)
	agree(t, s, "10.1.0.3", "2001:db8::3")
	c, err := hostlocal.Read(s.Folder())
	if err != nil || fmt.Sprint(c.Cursors) != "[{0 10.1.0.3} {1 2001:db8::3}]" {
		t.Errorf("cursors %v, %v", c.Cursors, err)
	}
	if err := s.GC(nil); err != nil {
		t.Fatal(err)
	}
	agree(t, s)
	add(t, s, 3)
	condemned := condemn(t, s, owner(3))
	if _, err := s.Release([]allocator.Condemned{condemned}, allocator.Why{Reason: journal.ReasonForce}); err != nil {
		t.Fatal(err)
	}
	agree(t, s)
}

// TestViewWithoutBeingAsked: whoever changes the store keeps the files, once there is a view.
func TestViewWithoutBeingAsked(t *testing.T) {
	s := newStore(t)
	hostLocal(t, s.Folder(), twoPods)
	add(t, s, 4)
	agree(t, s, "10.1.0.2", "10.1.0.3", "10.1.0.9", "10.1.0.4", "2001:db8::2", "2001:db8::3")
	off := storeWith(filepath.Dir(s.Folder()), func(o *allocator.Options) { o.View = allocator.ViewOff })
	add(t, off, 5)
	release(t, s, 4) // does not ask for it again
	if got := files(t, s.Folder()); len(got) != 6 || slices.Contains(got, "10.1.0.5") {
		t.Errorf("after the view was given up: %q", got)
	}
	on := storeWith(filepath.Dir(s.Folder()), func(o *allocator.Options) { o.View = allocator.ViewOn })
	release(t, on, 7)
	if got := files(t, s.Folder()); !slices.Contains(got, "10.1.0.5") {
		t.Errorf("after the view was begun again: %q", got)
	}
}

// TestViewBegins where host-local is called in a folder that has no view: from the next call on there is one. An address that
// both have given stays that of both.
func TestViewBegins(t *testing.T) {
	var told strings.Builder
	s := storeWith(t.TempDir(), func(o *allocator.Options) { o.Warn = func(text string) { fmt.Fprintln(&told, text) } })
	add(t, s, 1)
	add(t, s, 2)
	if got := files(t, s.Folder()); len(got) > 0 {
		t.Errorf("files without a view: %q", got)
	}
	hostLocal(t, s.Folder(), map[string]string{"lock": "", "10.1.0.4": "y\r\neth0", "10.1.0.3": "old\r\neth0"})
	both := filepath.Join(s.Folder(), "10.1.0.2")
	if err := os.WriteFile(both, []byte("z\r\neth0"), 0o600); err != nil { // now, and so not from before a power cut
		t.Fatal(err)
	}
	add(t, s, 3)
	if got, want := lastEvents(t, s, 2), "import 10.1.0.4, add 10.1.0.5 2001:db8::4"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	agree(t, s, "10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "2001:db8::2", "2001:db8::3", "2001:db8::4")
	if want := "10.1.0.2 names z/eth0: the address is held by c1/eth0, and two containers may have it"; !strings.Contains(told.String(), want) {
		t.Errorf("told %q, want %q", told.String(), want)
	}
	if b, err := os.ReadFile(both); err != nil || string(b) != "z\r\neth0" {
		t.Errorf("the other claim became %q, %v", b, err)
	}
	release(t, s, 1)
	release(t, s, 7)
	if held, err := s.Check(state.Attachment{ContainerID: "z", IfName: "eth0"}); err != nil || len(held) != 1 {
		t.Errorf("after one of them has gone, the other holds %v, %v", held, err)
	}
}

// TestViewRemoved has others remove and write files between calls.
func TestViewRemoved(t *testing.T) {
	remove := func(names ...string) func(t *testing.T, s *allocator.Store) {
		return func(t *testing.T, s *allocator.Store) {
			for _, name := range names {
				if err := os.Remove(filepath.Join(s.Folder(), name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	write := func(files map[string]string) func(t *testing.T, s *allocator.Store) {
		return func(t *testing.T, s *allocator.Store) { hostLocal(t, s.Folder(), files) }
	}
	for _, tt := range []struct {
		name   string
		others func(t *testing.T, s *allocator.Store)
		events int // of the next ADD, and those before it
		want   string
		files  string
	}{
		{"nothing", func(*testing.T, *allocator.Store) {}, 1, "add 10.1.0.4 2001:db8::4", "10.1.0.2 10.1.0.3 10.1.0.4 2001:db8::2 2001:db8::3 2001:db8::4"},
		{"one address", remove("10.1.0.2"), 2, "release external 10.1.0.2, add 10.1.0.4 2001:db8::4", "10.1.0.3 10.1.0.4 2001:db8::2 2001:db8::3 2001:db8::4"},
		{"both", remove("10.1.0.2", "2001:db8::2"), 3, "release external 10.1.0.2, release external 2001:db8::2, add 10.1.0.4 2001:db8::4",
			"10.1.0.3 10.1.0.4 2001:db8::3 2001:db8::4"},
		{"given by host-local", write(map[string]string{"10.1.0.4": "z\r\neth0", "last_reserved_ip.0": "10.1.0.4"}), 2,
			"import 10.1.0.4, add 10.1.0.5 2001:db8::4", "10.1.0.2 10.1.0.3 10.1.0.4 10.1.0.5 2001:db8::2 2001:db8::3 2001:db8::4"},
		{"removed, and given by host-local", write(map[string]string{"10.1.0.2": "z\r\neth0"}), 3,
			"release external 10.1.0.2, import 10.1.0.2, add 10.1.0.4 2001:db8::4", "10.1.0.2 10.1.0.3 10.1.0.4 2001:db8::2 2001:db8::3 2001:db8::4"},
		{"removed, and given to the same container by host-local", write(map[string]string{"10.1.0.2": "c1\r\neth1"}), 3,
			"release external 10.1.0.2, import 10.1.0.2, add 10.1.0.4 2001:db8::4", "10.1.0.2 10.1.0.3 10.1.0.4 2001:db8::2 2001:db8::3 2001:db8::4"},
		{"emptied", write(map[string]string{"10.1.0.2": ""}), 1, "add 10.1.0.4 2001:db8::4", "10.1.0.2 10.1.0.3 10.1.0.4 2001:db8::2 2001:db8::3 2001:db8::4"},
		{"garbage", write(map[string]string{"10.1.0.2": "\x00\x00\x00\x00\x00\x00\x00\x00"}), 1, "add 10.1.0.4 2001:db8::4",
			"10.1.0.2 10.1.0.3 10.1.0.4 2001:db8::2 2001:db8::3 2001:db8::4"},
		{"empty file of a free address", write(map[string]string{"10.1.0.4": ""}), 2, "import 10.1.0.4, add 10.1.0.5 2001:db8::4",
			"10.1.0.2 10.1.0.3 10.1.0.4 10.1.0.5 2001:db8::2 2001:db8::3 2001:db8::4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := viewStore(t)
			add(t, s, 1)
			add(t, s, 2)
			tt.others(t, s)
			add(t, s, 3)
			if got := lastEvents(t, s, tt.events); got != tt.want || len(events(t, s)) != 4+tt.events {
				t.Errorf("events %s, want %s", lastEvents(t, s, len(events(t, s))-4), tt.want)
			}
			agree(t, s, strings.Fields(tt.files)...)
			c, err := hostlocal.Read(s.Folder())
			if blocked := strings.HasPrefix(tt.name, "empty file"); err != nil || len(c.Warnings) > 0 != blocked {
				t.Errorf("files: %q, %v", c.Warnings, err)
			}
		})
	}
}

// TestViewRemovedBlocked: to remove the file of a blocked address is how its owner, who knows, lets it go.
func TestViewRemovedBlocked(t *testing.T) {
	s := newStore(t)
	hostLocal(t, s.Folder(), twoPods)
	add(t, s, 4)
	if err := os.Remove(filepath.Join(s.Folder(), "10.1.0.9")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Add(request(t, 5, "10.1.0.9")); err != nil {
		t.Errorf("the address was not released: %v", err)
	}
}

// TestViewAfterReboot: what a power cut left of the files proves nothing.
func TestViewAfterReboot(t *testing.T) {
	s := viewStore(t)
	add(t, s, 1)
	add(t, s, 2)
	release(t, s, 1)
	before := kinds(t, s)
	add(t, s, 3)
	before += "add "
	// A file of c2 was never written, those of c1 are back, one is empty, one has an earlier owner's content, and the stamp
	// is another boot's.
	hostLocal(t, s.Folder(), map[string]string{"10.1.0.2": "c1\r\neth0", "2001:db8::2": "", "2001:db8::3": "", "10.1.0.4": "c9\r\neth0"})
	if err := errors.Join(os.Remove(filepath.Join(s.Folder(), "10.1.0.3")), s.ForgetView()); err != nil {
		t.Fatal(err)
	}
	release(t, s, 7)
	if got, want := kinds(t, s), before+"del "; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	agree(t, s, "10.1.0.3", "2001:db8::3", "10.1.0.4", "2001:db8::4")
	if c, err := hostlocal.Read(s.Folder()); err != nil || len(c.Warnings) > 0 || c.Leases[1].ContainerID != "c3" {
		t.Errorf("files: %q, %+v, %v", c.Warnings, c.Leases, err)
	}
}

// TestStampAfterGarbage: whatever the file holds, the next stamp counts.
func TestStampAfterGarbage(t *testing.T) {
	s := viewStore(t)
	add(t, s, 1)
	if err := os.WriteFile(filepath.Join(s.Dir(), "view"), []byte(strings.Repeat("x y\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	add(t, s, 2)
	if err := os.Remove(filepath.Join(s.Folder(), "10.1.0.2")); err != nil {
		t.Fatal(err)
	}
	release(t, s, 7)
	if got, want := lastEvents(t, s, 2), "release external 10.1.0.2, del del"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

// TestViewGivenAgain: a lease that host-local ended and gave to the same container is another one, once.
func TestViewGivenAgain(t *testing.T) {
	s := viewStore(t)
	add(t, s, 1)
	hostLocal(t, s.Folder(), map[string]string{"10.1.0.2": "c1\r\neth0"})
	now := time.Now()
	if err := os.Chtimes(filepath.Join(s.Folder(), "10.1.0.2"), now, now); err != nil {
		t.Fatal(err)
	}
	add(t, s, 2)
	if got, want := lastEvents(t, s, 3), "release external 10.1.0.2, import 10.1.0.2, add 10.1.0.3 2001:db8::3"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	add(t, s, 3)
	if got, want := lastEvents(t, s, 2), "add 10.1.0.3 2001:db8::3, add 10.1.0.4 2001:db8::4"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	agree(t, s, "10.1.0.2", "10.1.0.3", "10.1.0.4", "2001:db8::2", "2001:db8::3", "2001:db8::4")
}

// TestViewOfAnotherInterface: the end of a lease does not take away a file that host-local has written meanwhile, be it for
// the same container.
func TestViewOfAnotherInterface(t *testing.T) {
	s := viewStore(t)
	add(t, s, 1)
	stamp, err := os.ReadFile(filepath.Join(s.Dir(), "view"))
	if err != nil {
		t.Fatal(err)
	}
	release(t, s, 1)
	hostLocal(t, s.Folder(), map[string]string{"10.1.0.2": "c1\r\neth1"})
	if err := os.WriteFile(filepath.Join(s.Dir(), "view"), stamp, 0o600); err != nil {
		t.Fatal(err)
	}
	release(t, s, 7)
	if got, want := lastEvents(t, s, 2), "import 10.1.0.2, del del"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	agree(t, s, "10.1.0.2")
}

// TestViewBeginsAfterReboot: the node went on with host-local, without a file of ours, and now it comes back. The leases of
// then are dead, and host-local's files are of containers that run.
func TestViewBeginsAfterReboot(t *testing.T) {
	s := earlierStore(t, true, bootBefore, given(1, "", journal.NetNSID{}, "10.1.0.2"), given(2, "", journal.NetNSID{}, "10.1.0.3"),
		given(3, "", journal.NetNSID{}, "10.1.0.4"))
	hostLocal(t, s.Folder(), map[string]string{"lock": "", "10.1.0.2": "z\r\neth0", "10.1.0.3": "c2\r\neth0", "10.1.0.4": "y\r\neth0"})
	for _, name := range []string{"10.1.0.2", "10.1.0.3"} {
		if err := os.Chtimes(filepath.Join(s.Folder(), name), time.Time{}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	add(t, s, 7)
	want := "release external 10.1.0.2, release external 10.1.0.3, import 10.1.0.2, import 10.1.0.3, release reboot 10.1.0.4, config, add 10.1.0.5 2001:db8::2"
	if got := lastEvents(t, s, 7); got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	agree(t, s, "10.1.0.2", "10.1.0.3", "10.1.0.5", "2001:db8::2")
}

// TestStampIsWhole at any time that a call may be killed, and so for whoever reads it meanwhile.
func TestStampIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "view")
	seq := journal.Seq(1_000_000)
	if err := allocator.WriteStamp(path, seq); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 5000 && err == nil; i++ { // numbers of one width: a read may see some of each
			err = allocator.WriteStamp(path, 1_000_000+journal.Seq(i))
		}
		done <- err
	}()
	for {
		b, err := os.ReadFile(path)
		if err != nil || allocator.StampOf(b) == 0 || len(b) != 128 {
			t.Fatalf("read %q, %v", b, err)
		}
		select {
		case err := <-done:
			if b, _ = os.ReadFile(path); err != nil || allocator.StampOf(b) != 1_004_999 {
				t.Errorf("at the end %q, %v", b, err)
			}
			return
		default:
		}
	}
}

// TestViewSinceReboot: host-local went on with the files, and the node has booted since. What it wrote is newer than what
// the journal knows of the addresses, and so the leases of containers that run.
func TestViewSinceReboot(t *testing.T) {
	later := time.Now().Add(time.Minute)
	for _, tt := range []struct {
		name    string
		file    string // what host-local has put in the place of c1's
		release bool   // c1 is released before that
		at      time.Time
		copied  bool // the files are in another folder since
		want    string
	}{
		{"another's", "z\r\neth0", false, later, false, "release external 10.1.0.2, import 10.1.0.2"},
		{"its own, anew", "c1\r\neth0", false, later, false, "release external 10.1.0.2, import 10.1.0.2"},
		{"its own, with the time of its writing", "c1\r\neth0", false, time.Now().Add(500 * time.Millisecond), false, ""},
		{"the beginning of its own, with the time of its writing", "c1\r\ne", false, time.Now().Add(500 * time.Millisecond), false, ""},
		{"another's, older", "z\r\neth0", false, claimedAt, false, ""},
		{"another's, in a copy", "z\r\neth0", false, later, true, ""},
		{"its own again", "c1\r\neth0", true, later, false, "import 10.1.0.2"},
		{"its own again, in a copy", "c1\r\neth0", true, later, true, "import 10.1.0.2"},
		{"the beginning of a leftover", "c1\r\ne", true, claimedAt, false, ""},
		{"another's, older than the end", "z\r\neth0", true, claimedAt, false, "import 10.1.0.2"},
		{"a leftover", "c1\r\neth0", true, claimedAt, false, ""},
		{"empty", "", true, later, false, "import 10.1.0.2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := viewStore(t)
			add(t, s, 1)
			add(t, s, 2)
			if tt.release {
				release(t, s, 1)
			}
			before := len(events(t, s))
			hostLocal(t, s.Folder(), map[string]string{"10.1.0.2": tt.file})
			path := filepath.Join(s.Folder(), "10.1.0.2")
			if err := errors.Join(os.Chtimes(path, tt.at, tt.at), s.RebootView()); err != nil {
				t.Fatal(err)
			}
			if tt.copied {
				moved := s.Folder() + "-copied"
				if err := errors.Join(os.CopyFS(moved, os.DirFS(s.Folder())), os.Rename(s.Folder(), s.Folder()+"-old"), os.Rename(moved, s.Folder())); err != nil {
					t.Fatal(err)
				}
			}
			release(t, s, 7)
			if got := lastEvents(t, s, len(events(t, s))-before); got != strings.TrimPrefix(tt.want+", del del", ", ") {
				t.Errorf("events %s, want %s, del del", got, tt.want)
			}
		})
	}
}

// TestViewBehind: a call that was killed between its event and the files leaves the stamp behind.
func TestViewBehind(t *testing.T) {
	s := viewStore(t)
	add(t, s, 1)
	add(t, s, 2)
	stamp, err := os.ReadFile(filepath.Join(s.Dir(), "view"))
	if err != nil {
		t.Fatal(err)
	}
	add(t, s, 3)
	release(t, s, 1)
	before := kinds(t, s)
	hostLocal(t, s.Folder(), map[string]string{"10.1.0.2": "c1\r\neth0", "2001:db8::2": "c1\r\neth0"})
	if err := errors.Join(os.Remove(filepath.Join(s.Folder(), "10.1.0.4")), os.WriteFile(filepath.Join(s.Dir(), "view"), stamp, 0o600)); err != nil {
		t.Fatal(err)
	}
	release(t, s, 7)
	if got, want := kinds(t, s), before+"del "; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	agree(t, s, "10.1.0.3", "10.1.0.4", "2001:db8::3", "2001:db8::4")
	// The same, but host-local was quicker than the next call: the lease that nobody was told of gives way.
	hostLocal(t, s.Folder(), map[string]string{"10.1.0.4": "z\r\neth0"})
	if err := os.WriteFile(filepath.Join(s.Dir(), "view"), stamp, 0o600); err != nil {
		t.Fatal(err)
	}
	release(t, s, 8)
	if got, want := lastEvents(t, s, 3), "release external 10.1.0.4, import 10.1.0.4, del del"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

// TestViewIsNoReasonToFail: what is wrong with the files is told, and calls go on.
func TestViewIsNoReasonToFail(t *testing.T) {
	var told strings.Builder
	s := storeWith(t.TempDir(), func(o *allocator.Options) {
		o.View, o.Warn = allocator.ViewOn, func(text string) { fmt.Fprintln(&told, text) }
	})
	add(t, s, 1)
	// In the place of the file that the next ADD will want to replace is a folder that can't be removed.
	if err := errors.Join(os.Remove(filepath.Join(s.Folder(), "10.1.0.2")), os.MkdirAll(filepath.Join(s.Folder(), "10.1.0.2", "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	add(t, s, 2)
	if !strings.Contains(told.String(), "host-local's files: ") {
		t.Errorf("told %q", told.String())
	}
	release(t, s, 1)
	if _, err := s.Check(owner(2)); err != nil {
		t.Error(err)
	}
}

// TestViewWithoutItsStamp has a folder in the stamp's place: no call fails of that, and each looks at every file.
func TestViewWithoutItsStamp(t *testing.T) {
	s := viewStore(t)
	add(t, s, 1)
	path := filepath.Join(s.Dir(), "view")
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	hostLocal(t, s.Folder(), map[string]string{"10.1.0.3": "z\r\neth0"})
	if ip := add(t, s, 2); ip.String() != "10.1.0.4" {
		t.Errorf("got %s, but 10.1.0.3 has a file", ip)
	}
	if _, err := s.Check(owner(1)); err != nil {
		t.Error(err)
	}
	release(t, s, 1)
	agree(t, s, "10.1.0.3", "10.1.0.4", "2001:db8::3")
}

// TestViewChecked: CHECK sees what the next mutating call will do.
func TestViewChecked(t *testing.T) {
	s := viewStore(t)
	add(t, s, 1)
	hostLocal(t, s.Folder(), map[string]string{"10.1.0.7": "z\r\neth0"})
	if held, err := s.Check(state.Attachment{ContainerID: "z", IfName: "eth0"}); err != nil || len(held) != 1 {
		t.Errorf("given by host-local: %v, %v", held, err)
	}
	if held, err := s.Check(owner(1)); err != nil || len(held) != 2 {
		t.Errorf("ours: %v, %v", held, err)
	}
	if err := errors.Join(os.Remove(filepath.Join(s.Folder(), "10.1.0.2")), os.Remove(filepath.Join(s.Folder(), "2001:db8::2"))); err != nil {
		t.Fatal(err)
	}
	if held, err := s.Check(owner(1)); !errors.Is(err, allocator.ErrNoLease) {
		t.Errorf("removed: %v, %v", held, err)
	}
}

// TestViewCheckedWithoutStamp: CHECK looks at the files of a view that has just been asked for, or whose stamp was lost.
func TestViewCheckedWithoutStamp(t *testing.T) {
	s := viewStore(t)
	add(t, s, 1)
	hostLocal(t, s.Folder(), map[string]string{"10.1.0.7": "z\r\neth0"})
	if err := os.Remove(filepath.Join(s.Dir(), "view")); err != nil {
		t.Fatal(err)
	}
	if held, err := s.Check(state.Attachment{ContainerID: "z", IfName: "eth0"}); err != nil || len(held) != 1 {
		t.Errorf("given by host-local: %v, %v", held, err)
	}
	if held, err := s.Check(owner(1)); err != nil || len(held) != 2 {
		t.Errorf("ours: %v, %v", held, err)
	}
}

// TestViewCheckedSinceReboot: a file that a power cut has brought back says nothing to CHECK, either; one that host-local wrote
// since does.
func TestViewCheckedSinceReboot(t *testing.T) {
	for _, tt := range []struct {
		name string
		file string
		at   time.Time
		held int
	}{
		{"brought back", "c1\r\neth0", claimedAt, 0},
		{"brought back in part", "c1", claimedAt, 0},
		{"written since", "c1\r\neth0", time.Now().Add(time.Minute), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := viewStore(t)
			add(t, s, 1)
			release(t, s, 1)
			hostLocal(t, s.Folder(), map[string]string{"10.1.0.2": tt.file})
			path := filepath.Join(s.Folder(), "10.1.0.2")
			if err := errors.Join(os.Chtimes(path, tt.at, tt.at), s.RebootView()); err != nil {
				t.Fatal(err)
			}
			held, err := s.Check(owner(1))
			if len(held) != tt.held || errors.Is(err, allocator.ErrNoLease) != (tt.held == 0) {
				t.Errorf("%v, %v, want %d leases", held, err, tt.held)
			}
		})
	}
}

// TestLargeView: beyond some number of leases the files are looked at only if the folder's time has moved.
func TestLargeView(t *testing.T) {
	s := newBusyStore(t)
	many := map[string]string{"lock": ""}
	for i := range allocator.ViewListed + 10 {
		many[fmt.Sprintf("10.1.%d.%d", 1+i/250, i%250)] = fmt.Sprintf("h%d\r\neth0", i)
	}
	hostLocal(t, s.Folder(), many)
	add(t, s, 1)
	add(t, s, 2)
	if err := os.Remove(filepath.Join(s.Folder(), "10.1.1.7")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(s.Folder(), claimedAt, claimedAt); err != nil { // a change for certain, whatever the clock's steps
		t.Fatal(err)
	}
	add(t, s, 3)
	if got := lastEvents(t, s, 2); !strings.HasPrefix(got, "release external 10.1.1.7, add ") {
		t.Errorf("events %s", got)
	}
	// One that escaped notice: the folder's time is put back.
	st, err := os.Stat(s.Folder())
	if err != nil {
		t.Fatal(err)
	}
	hostLocal(t, s.Folder(), map[string]string{"10.1.0.5": "z\r\neth0", "10.1.0.77": "y\r\neth0"})
	if err := os.Chtimes(s.Folder(), st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := s.Del(allocator.DelRequest{Owner: state.Attachment{ContainerID: "y", IfName: "eth0"}}); err != nil {
		t.Fatal(err)
	}
	if got, want := lastEvents(t, s, 3), "import 10.1.0.5, import 10.1.0.77, del del 10.1.0.77"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	if st, err = os.Stat(s.Folder()); err != nil {
		t.Fatal(err)
	}
	hostLocal(t, s.Folder(), map[string]string{"10.1.0.6": "x\r\neth0"})
	if err := os.Chtimes(s.Folder(), st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	if ip := add(t, s, 4); ip.String() != "10.1.0.7" {
		t.Errorf("got %s, but 10.1.0.6 has a file and 10.1.0.7 has none", ip)
	}
	// Nor does the end of a lease take away a file that escaped notice.
	if st, err = os.Stat(s.Folder()); err != nil {
		t.Fatal(err)
	}
	hostLocal(t, s.Folder(), map[string]string{"10.1.0.7": "c4\r\neth1"})
	if err := os.Chtimes(s.Folder(), st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	release(t, s, 4)
	if b, err := os.ReadFile(filepath.Join(s.Folder(), "10.1.0.7")); string(b) != "c4\r\neth1" || err != nil {
		t.Errorf("the file that host-local wrote: %q, %v", b, err)
	}
}

// BenchmarkView is an ADD and its DEL, with host-local's files and without.
func BenchmarkView(b *testing.B) {
	for _, leases := range []int{250, 1000} {
		for _, mode := range []allocator.ViewMode{allocator.ViewOff, allocator.ViewOn} {
			b.Run(fmt.Sprintf("leases=%d/view=%v", leases, mode == allocator.ViewOn), func(b *testing.B) {
				s := newBusyStore(b)
				s = storeWith(filepath.Dir(s.Folder()), func(o *allocator.Options) { o.View = mode })
				for i := range leases {
					add(b, s, i)
				}
				for b.Loop() {
					add(b, s, 1_000_000)
					release(b, s, 1_000_000)
				}
			})
		}
	}
}
