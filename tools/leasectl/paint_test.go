package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo-terminal: what is written to its far side is read from the near one.
func openTerminal(t *testing.T) (near, far *os.File) {
	t.Helper()
	near, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	if err := unix.IoctlSetPointerInt(int(near.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(near.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if far, err = os.OpenFile(filepath.Join("/dev/pts", fmt.Sprint(n)), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return near, far
}

// TestColours: tables are coloured on a terminal alone, unless its user wants none or wants it everywhere.
func TestColours(t *testing.T) {
	dataDir := t.TempDir()
	events, err := parseEvents("10 add id=unknown ip=10.0.0.2/24\n20 reset boot=2")
	if err != nil {
		t.Fatal(err)
	}
	events[1].Kind, events[1].ContainerID, events[1].IfName = events[0].Kind, "later", "eth0"
	events[1].Addresses = append(events[1].Addresses, events[0].Addresses[0])
	events[1].Addresses[0].IP = events[1].Addresses[0].IP.Next()
	if err := oldStore(dataDir, "net", events); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		terminal bool
		env      []string
		flags    []string
		coloured bool
	}{
		{"terminal", true, nil, nil, true},
		{"no terminal", false, nil, nil, false},
		{"NO_COLOR", true, []string{"NO_COLOR=1"}, nil, false},
		{"NO_COLOR is empty", true, []string{"NO_COLOR="}, nil, true},
		{"dumb", true, []string{"TERM=dumb"}, nil, false},
		{"never", true, nil, []string{"--color", "never"}, false},
		{"always", false, []string{"NO_COLOR=1"}, []string{"--color", "always"}, true},
		{"CSV", true, nil, []string{"-o", "csv", "--color", "always"}, false},
		{"JSON", true, nil, []string{"-o", "json"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd, _ := command(t, append([]string{"leases", "--data-dir", dataDir}, tt.flags...)...)
			cmd.Env = append(cmd.Env, "TERM=xterm", "NO_COLOR=", "GORACE="+quickExit)
			cmd.Env = append(cmd.Env, tt.env...)
			var out bytes.Buffer
			cmd.Stdout = &out
			if tt.terminal {
				near, far := openTerminal(t)
				cmd.Stdout = far
				read := make(chan error, 1)
				go func() {
					_, err := io.Copy(&out, near)
					read <- err
				}()
				err = cmd.Run()
				far.Close()
				if err := <-read; !errors.Is(err, syscall.EIO) { // the far side is closed
					t.Fatal(err)
				}
			} else {
				err = cmd.Run()
			}
			if cmd.ProcessState.ExitCode() != exitUncertain && cmd.ProcessState.ExitCode() != exitFound {
				t.Fatalf("%v: %s", err, out.String())
			}
			text := out.String()
			if got := strings.Contains(text, "\x1b["); got != tt.coloured {
				t.Fatalf("coloured: %v, want %v:\n%q", got, tt.coloured, text)
			}
			if !tt.coloured {
				return
			}
			for _, want := range []string{"\x1b[1mNETWORK\x1b[0m  ", "  unknown  ", "\x1b[33muncertain\x1b[0m"} {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in:\n%q", want, text)
				}
			}
		})
	}
}
