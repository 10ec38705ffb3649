package trace_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/leaselog/leaselog/test/trace"
)

// TestRead reads lines as strace writes them: whole, interrupted, killed, refused, injected.
func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace")
	const text = `7 openat(AT_FDCWD</home>, "/d/f", O_RDONLY|O_CLOEXEC) = 3</d/f>
7 read(3</d/f>,  <unfinished ...>
8 renameat(AT_FDCWD</home>, "/d/a", AT_FDCWD</home>, "/d/b") = 0
7 <... read resumed>""..., 512) = 20
7 --- SIGURG {si_signo=SIGURG, si_code=SI_TKILL, si_pid=7, si_uid=0} ---
7 newfstatat(3</d>, "name", 0xc000, 0) = -1 ENOENT (No such file or directory)
7 epoll_ctl(4<anon_inode:[eventpoll]>, EPOLL_CTL_ADD, 3</d/f>, {events=EPOLLIN, data={u32=1, u64=2}}) = -1 EPERM (Operation not permitted)
7 fsync(3</d/f>) = -1 EIO (Input/output error) (INJECTED)
9 syscall_0x665(0x351486439f00, 0, 0, 0, 0x1d68e02a919d, 0x1d68df981ace) = ?
9 syscall_0x1d0(0, 0, 0, 0, 0, 0) = -1 ENOSYS (Function not implemented)
7 fsync(3</d/f> <unfinished ...>
8 +++ killed by SIGKILL +++
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	calls, err := trace.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	type call struct {
		thread, name, path, to, fd string
		result                     int64
		failed, ended, injected    bool
		ordinal                    int
	}
	var got []call
	for _, c := range calls {
		got = append(got, call{c.Thread, c.Name, c.Path, c.To, c.FD, c.Result, c.Failed, c.Ended, c.Injected, c.Ordinal})
	}
	want := []call{
		{"7", "openat", "/d/f", "", "", 3, false, true, false, 1},
		{"7", "read", "/d/f", "", "3", 20, false, true, false, 1},
		{"8", "renameat", "/d/a", "/d/b", "", 0, false, true, false, 1},
		{"7", "newfstatat", "/d/name", "", "3", -1, true, true, false, 1},
		{"7", "epoll_ctl", "/d/f", "", "4", -1, true, true, false, 1},
		{"7", "fsync", "/d/f", "", "3", -1, true, true, true, 1},
		{"9", "syscall_0x1d0", "", "", "", -1, true, true, false, 1},
		{"7", "fsync", "/d/f", "", "3", -1, false, false, false, 2},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Read =\n%+v, want\n%+v", got, want)
	}
}
