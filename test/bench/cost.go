package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What is measured of a call besides its time.
const (
	memoryWhat  = "peak memory of an ADD, KiB"
	deviceWhat  = "bytes to the device per ADD"
	callsWhat   = "system calls"
	syncsWhat   = "syncs"
	bytesWhat   = "bytes written to files"
	memoryCalls = 7
	deviceCalls = 40
)

// costs measures what does not depend on the machine's speed. Each call that it adds it takes back.
func (b *bench) costs(ctx context.Context, w *world, withHostLocal bool) error {
	subjects := []subject{leaselog, floor}
	if withHostLocal {
		subjects = append(subjects, hostLocal)
	}
	for _, s := range subjects {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.restore(); err != nil {
			return err
		}
		if err := b.memory(w, s); err != nil {
			return fmt.Errorf("peak memory of %s: %w", s, err)
		}
		if err := b.systemCalls(w, s); err != nil {
			return fmt.Errorf("system calls of %s: %w", s, err)
		}
		if err := b.device(w, s); err != nil {
			return fmt.Errorf("device writes of %s: %w", s, err)
		}
	}
	return nil
}

// undone runs c, an ADD, checks it, and takes it back.
func (w *world) undone(c *command, s subject, a attachment) error {
	answered, err := c.run()
	if err != nil {
		return err
	}
	if _, err := w.check(s, "ADD", answered); err != nil {
		return err
	}
	return w.untimed(s, "DEL", a)
}

func (w *world) untimed(s subject, verb string, a attachment) error {
	answered, err := w.call(s, verb, a).run()
	if err != nil {
		return err
	}
	_, err = w.check(s, verb, answered)
	return err
}

// memory runs ADDs below rss, which is smaller than they are, so that their peak is their own.
func (b *bench) memory(w *world, s subject) error {
	for round := range memoryCalls {
		a := attachment{id: w.newID()}
		peak, err := b.peak(w.call(s, "ADD", a), func(c *command) error { return w.undone(c, s, a) })
		if err != nil {
			return err
		}
		b.add(sample{row{w.place.name, w.scene, memoryWhat, s}, round, float64(peak)})
	}
	return nil
}

// peak returns the peak memory of c in KiB, as run by the function.
func (b *bench) peak(c *command, run func(*command) error) (int, error) {
	out, err := os.CreateTemp(b.dir, "rss-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	c.path, c.args, c.extra = b.tools.rss, append([]string{c.path}, c.args...), out
	if err := run(c); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		return 0, err
	}
	var child, own int
	if _, err := fmt.Sscan(string(text), &child, &own); err != nil {
		return 0, fmt.Errorf("rss says %q: %w", text, err)
	}
	if child <= own {
		return 0, fmt.Errorf("the call's peak of %d KiB may be that of rss, %d KiB", child, own)
	}
	return child, nil
}

// systemCalls counts them under strace, once for each verb: the count is the same each time but for a few calls of Go's scheduler.
func (b *bench) systemCalls(w *world, s subject) error {
	if b.tools.strace == "" {
		return nil
	}
	fresh := attachment{id: w.newID()}
	for _, verb := range verbs {
		a := fresh
		if verb == "STATUS" {
			a = attachment{}
		}
		c := w.call(s, verb, a)
		out := filepath.Join(b.dir, "strace.out")
		c.path, c.args = b.tools.strace, []string{"-f", "-y", "-s", "0", "-qq", "-e", "signal=none", "-o", out, c.path}
		answered, err := c.run()
		if err != nil {
			return err
		}
		if _, err := w.check(s, verb, answered); err != nil {
			return err
		}
		text, err := os.ReadFile(out)
		if err != nil {
			return err
		}
		t := readTrace(string(text), w.place.dir)
		for what, n := range map[string]int{callsWhat: t.calls, syncsWhat: t.syncs, bytesWhat: t.bytes} {
			b.add(sample{row{w.place.name, w.scene, what + " of " + verb, s}, 0, float64(n)})
		}
	}
	return nil
}

// trace is what strace saw of a call.
type trace struct{ calls, syncs, bytes int }

// readTrace counts in what strace -f -y wrote: calls, syncs, and the bytes written to files below dir.
func readTrace(text, dir string) trace {
	var t trace
	begun := map[string]string{} // by process, the call that another one's came between
	for line := range strings.Lines(text) {
		pid, call, ok := strings.Cut(strings.TrimSpace(line), " ")
		call = strings.TrimSpace(call)
		if !ok || strings.HasPrefix(call, "+++") || strings.HasPrefix(call, "---") {
			continue
		}
		if strings.HasPrefix(call, "<... ") {
			_, rest, _ := strings.Cut(call, "resumed>")
			call = begun[pid] + rest
			delete(begun, pid)
		} else {
			t.calls++
			if head, unfinished := strings.CutSuffix(call, " <unfinished ...>"); unfinished {
				begun[pid] = head
				continue
			}
		}
		t.add(call, dir)
	}
	return t
}

// add looks at a whole call.
func (t *trace) add(call, dir string) {
	name, args, _ := strings.Cut(call, "(")
	switch name {
	case "fsync", "fdatasync", "sync_file_range", "syncfs", "sync":
		t.syncs++
	case "write", "pwrite64", "writev", "pwritev", "pwritev2":
		_, path, _ := strings.Cut(args, "<")
		if !strings.HasPrefix(path, dir+"/") {
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(call[strings.LastIndex(call, "=")+1:]))
		if err == nil { // else the write failed, which the call's own exit code tells of
			t.bytes += n
		}
	}
}

// device reports what ADDs have the kernel write to the file system's own device, with what the file system adds of its own. It
// needs a device that nobody else writes to: an image's.
func (b *bench) device(w *world, s subject) error {
	stat, err := loopStat(w.place.dir)
	if err != nil || stat == "" {
		return err
	}
	if err := w.place.settle(); err != nil {
		return err
	}
	before, err := sectors(stat)
	if err != nil {
		return err
	}
	var ids []attachment
	for range deviceCalls {
		a := attachment{id: w.newID()}
		if err := w.untimed(s, "ADD", a); err != nil {
			return err
		}
		ids = append(ids, a)
	}
	if err := w.place.settle(); err != nil {
		return err
	}
	after, err := sectors(stat)
	if err != nil {
		return err
	}
	b.add(sample{row{w.place.name, w.scene, deviceWhat, s}, 0, float64(after-before) * 512 / deviceCalls})
	for _, a := range ids {
		if err := w.untimed(s, "DEL", a); err != nil {
			return err
		}
	}
	return nil
}

// loopStat returns the file with the counters of the loop device that holds dir; "" if it is on none.
func loopStat(dir string) (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		fields, rest, _ := strings.Cut(line, " - ")
		if f := strings.Fields(fields); len(f) < 5 || f[4] != dir {
			continue
		}
		if f := strings.Fields(rest); len(f) >= 2 && strings.HasPrefix(f[1], "/dev/loop") {
			return filepath.Join("/sys/block", filepath.Base(f[1]), "stat"), nil
		}
	}
	return "", nil
}

// sectors returns how many sectors of 512 bytes have been written to a block device.
func sectors(stat string) (int, error) {
	b, err := os.ReadFile(stat)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b))
	if len(fields) < 7 {
		return 0, fmt.Errorf("%s says %q", stat, b)
	}
	return strconv.Atoi(fields[6])
}

// netNS makes a network namespace and returns its path: runtimes name that of the pod, and the plugin looks whether it is its
// own. Without root it is a path that isn't there, which costs a system call less.
func netNS() string {
	path := make(chan string)
	go lockedThread(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			path <- "/run/netns/none"
			return
		}
		path <- fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		select {} // the namespace is there as long as the thread
	})
	return <-path
}
