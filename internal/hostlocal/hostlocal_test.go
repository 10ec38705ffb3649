package hostlocal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/internal/hostlocal"
	"github.com/leaselog/leaselog/journal"
)

// write makes files in a folder.
func write(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRead(t *testing.T) {
	long := strings.Repeat("x", 4000)
	for _, tt := range []struct {
		name, file, content string
		want                string // "id/ifname", or why it is blocked; "" if it is no lease
	}{
		{"as host-local writes it", "10.1.2.3", "c1\r\neth0", "c1/eth0"},
		{"line feed alone", "10.1.2.3", "c1\neth0", "c1/eth0"},
		{"white space around", "10.1.2.3", " c1\r\neth0\n", "c1/eth0"},
		{"before v0.8.0", "10.1.2.3", "c1", "c1/"},
		{"IPv6", "2001:db8::2", "c1\r\neth0", "c1/eth0"},
		{"of Windows", "2001_db8__2", "c1\r\neth0", "c1/eth0"},
		{"of Windows, from ::", "__2", "c1\r\neth0", "c1/eth0"},
		{"mapped", "::ffff:10.1.2.3", "c1\r\neth0", "c1/eth0"},
		{"empty", "10.1.2.3", "", "empty"},
		{"blanks", "10.1.2.3", " \r\n", "empty"},
		{"zeros", "10.1.2.3", "\x00\x00\x00\x00", "doesn't begin with a container ID"},
		{"binary", "10.1.2.3", "\xff\xfe\r\neth0", "doesn't begin with a container ID"},
		{"zeros after the ID", "10.1.2.3", "c1\r\n\x00\x00\x00", "has no interface name after the container ID"},
		{"three lines", "10.1.2.3", "c1\r\neth0\r\nx", "has no interface name after the container ID"},
		{"long ID", "10.1.2.3", long + "\r\neth0", "container ID of 4000 bytes, at most 3072"},
		{"large", "10.1.2.3", long + long + long + long + long, "over 16384 bytes"},
		{"no address", "10.1.2.3.bak", "c1\r\neth0", ""},
		{"zone", "fe80::1%eth0", "c1\r\neth0", ""},
		{"leading zeros", "10.1.2.03", "c1\r\neth0", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, folder, map[string]string{tt.file: tt.content, "last_reserved_ip.0": "10.1.2.9"})
			c, err := hostlocal.Read(folder)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, l := range c.Leases {
				if got = l.ContainerID + "/" + l.IfName; l.Blocked != "" {
					got = l.Blocked
				}
				if l.Time.IsZero() {
					t.Error("the lease has no time")
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if plain := strings.Contains(got, "/") && !strings.Contains(got, " "); plain != (len(c.Warnings) == 0) {
				t.Errorf("warnings %q", c.Warnings)
			}
		})
	}
}

// TestNoFile has things named like an address that can't be read as a file: each blocks its address.
func TestNoFile(t *testing.T) {
	folder := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(folder, "10.1.2.3"), 0o700), os.Symlink("nowhere", filepath.Join(folder, "10.1.2.4"))); err != nil {
		t.Fatal(err)
	}
	c, err := hostlocal.Read(folder)
	if err != nil || len(c.Leases) != 2 || c.Leases[0].Blocked == "" || c.Leases[1].Blocked == "" || len(c.Warnings) != 2 {
		t.Errorf("got %+v, %v, want two blocked addresses", c, err)
	}
}

func TestTwoFilesOfOneAddress(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, map[string]string{"2001:db8::2": "a\r\neth0", "2001_db8__2": "b\r\neth0"})
	c, err := hostlocal.Read(folder)
	if err != nil || len(c.Leases) != 1 || len(c.Warnings) != 1 {
		t.Errorf("got %+v, %v, want one lease and a warning", c, err)
	}
}

func TestCursors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"by number", map[string]string{"last_reserved_ip.1": "2001:db8::7", "last_reserved_ip.0": "10.1.2.3"}, "0=10.1.2.3 1=2001:db8::7"},
		{"tenth", map[string]string{"last_reserved_ip.10": "10.1.2.3"}, "10=10.1.2.3"},
		{"without number", map[string]string{"last_reserved_ip": "10.1.2.3"}, "0=10.1.2.3"},
		{"with and without", map[string]string{"last_reserved_ip": "10.1.2.3", "last_reserved_ip.0": "10.1.2.4"}, "0=10.1.2.4"},
		{"without, and of another set", map[string]string{"last_reserved_ip": "10.1.2.3", "last_reserved_ip.1": "10.1.2.4"}, "0=10.1.2.3 1=10.1.2.4"},
		{"line feed, which host-local can't read", map[string]string{"last_reserved_ip.0": "10.1.2.3\n"}, ""},
		{"empty", map[string]string{"last_reserved_ip.0": ""}, ""},
		{"no number", map[string]string{"last_reserved_ip.x": "10.1.2.3", "10.1.2.9": ""}, ""},
		{"leading zero", map[string]string{"last_reserved_ip.00": "10.1.2.3", "10.1.2.9": ""}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, folder, tt.files)
			c, err := hostlocal.Read(folder)
			if err != nil {
				t.Fatal(err)
			}
			again, err := hostlocal.Cursors(folder)
			if err != nil || !slices.Equal(again, c.Cursors) {
				t.Errorf("Cursors: %v, %v, but Read has %v", again, err, c.Cursors)
			}
			var got []string
			for _, cursor := range c.Cursors {
				got = append(got, fmt.Sprintf("%d=%s", cursor.Set, cursor.IP))
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestForeign(t *testing.T) {
	for _, tt := range []struct {
		name             string
		files            map[string]string
		present, foreign bool
	}{
		{"empty", nil, false, false},
		{"lock", map[string]string{"lock": ""}, true, false},
		{"ours", map[string]string{"leaselog": "x", "leaselog.tmp": "x"}, false, false},
		{"a stranger", map[string]string{"photo.jpg": "x"}, false, true},
		{"a stranger and a lock", map[string]string{"photo.jpg": "x", "lock": ""}, false, true},
		{"a stranger and a lease", map[string]string{"photo.jpg": "x", "10.1.2.3": "c"}, true, false},
		{"a stranger and a cursor", map[string]string{"photo.jpg": "x", "last_reserved_ip.0": ""}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, folder, tt.files)
			present, err := hostlocal.Present(folder)
			if present != tt.present || errors.Is(err, hostlocal.ErrForeign) != tt.foreign || err != nil != tt.foreign {
				t.Errorf("Present: %v, %v", present, err)
			}
			if _, err := hostlocal.Read(folder); errors.Is(err, hostlocal.ErrForeign) != tt.foreign || err != nil != tt.foreign {
				t.Errorf("Read: %v", err)
			}
		})
	}
	if c, err := hostlocal.Read(filepath.Join(t.TempDir(), "none")); err != nil || !c.Empty() {
		t.Errorf("missing folder: %+v, %v, want nothing", c, err)
	}
}

// TestWritten writes what host-local would, and reads it again.
func TestWritten(t *testing.T) {
	folder := t.TempDir()
	at := time.Unix(1_700_000_000, 123_456_789)
	leases := []hostlocal.Lease{
		{IP: netip.MustParseAddr("10.1.2.3"), ContainerID: "c1", IfName: "eth0", Time: at},
		{IP: netip.MustParseAddr("10.1.2.4"), ContainerID: "c2", Time: at},
		{IP: netip.MustParseAddr("10.1.2.5"), Time: at, Blocked: "empty"},
		{IP: netip.MustParseAddr("2001:db8::2"), ContainerID: "c1", IfName: "eth0", Time: at},
	}
	for _, l := range leases {
		if err := hostlocal.Put(folder, l); err != nil {
			t.Fatal(err)
		}
		if err := hostlocal.Put(folder, l); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s a second time: %v, want ErrExist", l.IP, err)
		}
		st, err := os.Stat(hostlocal.Path(folder, l.IP))
		if err != nil || st.Mode() != 0o600 || st.Size() != l.Size() {
			t.Errorf("%s: %v, %v, want mode 0600, %d bytes", l.IP, st, err, l.Size())
		}
	}
	if b, err := os.ReadFile(filepath.Join(folder, "10.1.2.3")); string(b) != "c1\r\neth0" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	cursor := journal.Cursor{Set: 1, IP: netip.MustParseAddr("2001:db8::2")}
	if err := hostlocal.SetCursor(folder, cursor); err != nil {
		t.Fatal(err)
	}
	c, err := hostlocal.Read(folder)
	if err != nil || !slices.Equal(c.Leases, leases) || !slices.Equal(c.Cursors, []journal.Cursor{cursor}) {
		t.Errorf("got %+v, %v, want %+v", c, err, leases)
	}
	files, err := hostlocal.List(folder)
	if err != nil || len(files) != len(leases) || !files[0].Time.Equal(at) {
		t.Errorf("List: %+v, %v", files, err)
	}
	leases[0].ContainerID = "c9"
	if err := hostlocal.Replace(folder, leases[0]); err != nil {
		t.Fatal(err)
	}
	if l, err := hostlocal.ReadLease(folder, leases[0].IP); err != nil || l != leases[0] {
		t.Errorf("replaced: %+v, %v", l, err)
	}
	if err := errors.Join(hostlocal.Remove(folder, leases[0].IP), hostlocal.Remove(folder, leases[0].IP)); err != nil {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := hostlocal.ReadLease(folder, leases[0].IP); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
}

// TestChanging writes into the folder all the while, as nobody does who holds the lock.
func TestChanging(t *testing.T) {
	folder := t.TempDir()
	for i := range 200 {
		write(t, folder, map[string]string{fmt.Sprintf("10.1.2.%d", i): "c\r\neth0"})
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := filepath.Join(folder, fmt.Sprintf("10.1.3.%d", i%200))
			_ = os.WriteFile(name, nil, 0o600)
			_ = os.Remove(name)
		}
	}()
	seen := false
	for deadline := time.Now().Add(10 * time.Second); !seen && time.Now().Before(deadline); {
		_, err := hostlocal.Read(folder)
		if seen = errors.Is(err, hostlocal.ErrChanging); err != nil && !seen {
			t.Error(err)
		}
	}
	close(stop)
	<-done
	if !seen {
		t.Error("never said that the folder is being written")
	}
	if c, err := hostlocal.Read(folder); err != nil || len(c.Leases) < 200 {
		t.Errorf("afterwards: %v", err)
	}
}

func TestLock(t *testing.T) {
	folder := t.TempDir()
	if lock, err := hostlocal.Lookup(folder, time.Now()); lock != nil || err != nil {
		t.Errorf("Lookup without a lock file: %v, %v", lock, err)
	}
	lock, err := hostlocal.Lock(folder, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for name, take := range map[string]func() error{
		"Lock":   func() error { _, err := hostlocal.Lock(folder, time.Now().Add(20*time.Millisecond)); return err },
		"Lookup": func() error { _, err := hostlocal.Lookup(folder, time.Now().Add(20*time.Millisecond)); return err },
	} {
		if err := take(); !errors.Is(err, journal.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
			t.Errorf("%s of a held lock: %v, want ErrLocked that names the process", name, err)
		}
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if lock, err = hostlocal.Lookup(folder, time.Now().Add(time.Minute)); err != nil {
		t.Error(err)
	} else if err := lock.Close(); err != nil {
		t.Error(err)
	}
}

// FuzzLeaseFile: whatever a file holds becomes an owner that can be written again as it was read, or a blocked address.
func FuzzLeaseFile(f *testing.F) {
	for _, seed := range []string{"", "c1", "c1\r\neth0", "c1\neth0\n", "\x00\x00", "c1\r\n", "c1\r\neth0\r\nx", " c1 "} {
		f.Add([]byte(seed))
	}
	ip := netip.MustParseAddr("10.1.2.3")
	f.Fuzz(func(t *testing.T, content []byte) {
		folder := t.TempDir()
		write(t, folder, map[string]string{ip.String(): string(content)})
		l, err := hostlocal.ReadLease(folder, ip)
		if err != nil {
			t.Fatal(err)
		}
		if l.Blocked != "" {
			if l.ContainerID != "" || l.IfName != "" {
				t.Errorf("blocked, with owner %q/%q", l.ContainerID, l.IfName)
			}
			return
		}
		if err := hostlocal.Replace(folder, l); err != nil {
			t.Fatal(err)
		}
		again, err := hostlocal.ReadLease(folder, ip)
		if err != nil || !again.SameOwner(l) || again.Blocked != "" {
			t.Errorf("%q: read as %+v, written and read as %+v, %v", content, l, again, err)
		}
	})
}

// TestTimeOutOfReach: the time of a file that nanoseconds since 1970 can't tell is not known, and not another one.
func TestTimeOutOfReach(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, map[string]string{"10.1.0.2": "c1\r\neth0"})
	for year, known := range map[int]bool{1960: true, 2200: true, 2400: false} {
		at := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		ts := unix.Timespec{Sec: at.Unix()} // os.Chtimes counts nanoseconds
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(folder, "10.1.0.2"), []unix.Timespec{ts, ts}, 0); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(filepath.Join(folder, "10.1.0.2"))
		if err != nil || !st.ModTime().Equal(at) {
			t.Skipf("the file system has %v for %v, %v", st.ModTime(), at, err)
		}
		l, err := hostlocal.ReadLease(folder, netip.MustParseAddr("10.1.0.2"))
		if err != nil || l.Time.Equal(at) != known || l.Time.IsZero() == known {
			t.Errorf("%d: got %v, %v", year, l.Time, err)
		}
	}
}

// TestStrangersName: the name of a file that is told of can't work on the terminal that shows it.
func TestStrangersName(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, map[string]string{"x\x1b[2J": ""})
	_, err := hostlocal.Read(folder)
	if !errors.Is(err, hostlocal.ErrForeign) || strings.Contains(err.Error(), "\x1b") || hostlocal.NoStrangers(folder) == nil ||
		strings.Contains(hostlocal.NoStrangers(folder).Error(), "\x1b") {
		t.Errorf("got %q, %v", err, hostlocal.NoStrangers(folder))
	}
	write(t, folder, map[string]string{"10.1.0.2": "c1\r\neth0"})
	c, err := hostlocal.Read(folder)
	if err != nil || len(c.Warnings) != 1 || strings.Contains(c.Warnings[0], "\x1b") {
		t.Errorf("got %q, %v", c.Warnings, err)
	}
}

// TestPipeForACursor: who opens a pipe waits for the other end, unless told not to.
func TestPipeForACursor(t *testing.T) {
	folder := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(folder, "last_reserved_ip.0"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := hostlocal.SetCursor(folder, journal.Cursor{IP: netip.MustParseAddr("10.1.0.2")}); !errors.Is(err, unix.ENXIO) {
		t.Errorf("write: %v, want ENXIO", err)
	}
	if cursors, err := hostlocal.Cursors(folder); err != nil || len(cursors) > 0 {
		t.Errorf("read: %v, %v", cursors, err)
	}
}
