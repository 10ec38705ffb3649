// Rss runs a command and prints, on file descriptor 3, the command's peak resident memory and its own, in
// KiB. A process counts as its own the peak of the one that it was forked from, and a benchmark is larger than
// what it measures; this program is smaller.
package main

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "rss:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) < 2 {
		return fmt.Errorf("usage: rss COMMAND [ARGUMENT]... 3>FILE")
	}
	pid, err := syscall.ForkExec(os.Args[1], os.Args[1:], &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		return err
	}
	var status syscall.WaitStatus
	var child syscall.Rusage
	if _, err := syscall.Wait4(pid, &status, 0, &child); err != nil {
		return err
	}
	own, err := peak()
	if err != nil {
		return err
	}
	if status.ExitStatus() != 0 {
		return fmt.Errorf("%s: exit %d", os.Args[1], status.ExitStatus())
	}
	_, err = syscall.Write(3, fmt.Appendf(nil, "%d %d\n", child.Maxrss, own))
	return err
}

// peak returns this program's own peak, in KiB. Getrusage would add the peak of who started it.
func peak() (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kib int
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		return 0, fmt.Errorf("VmHWM in /proc/self/status: %w", err)
	}
	return kib, nil
}
