package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// place is a file system to measure on.
type place struct {
	name string
	dir  string   // an empty folder on it
	root *os.File // what syncfs is asked of
	undo func() error
}

// imageBytes is the size of an image. It is reserved at once, so that no call pays for space in the image's own file.
const imageBytes = 4 << 30

// errUnavailable says that this machine can't make such a file system.
var errUnavailable = errors.New("not available here")

// makers are how to make an image a file system, by the name of the file system.
var makers = map[string][]string{
	"ext4":  {"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"},
	"xfs":   {"mkfs.xfs", "-q", "-f"},
	"btrfs": {"mkfs.btrfs", "-q", "-f"},
}

// openPlace makes a file system below dir: "disk" is dir's own, "tmpfs" one in memory, the others are in images.
func openPlace(ctx context.Context, dir, name string) (p *place, err error) {
	at := filepath.Join(dir, name)
	if err := os.Mkdir(at, 0o755); err != nil {
		return nil, err
	}
	p = &place{name: name, dir: at, undo: func() error { return os.RemoveAll(at) }}
	switch name {
	case "disk":
	case "tmpfs":
		if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=4g"); err != nil {
			return nil, errors.Join(fmt.Errorf("%w: mount a tmpfs: %w", errUnavailable, err), os.Remove(at))
		}
		p.undo = func() error { return unmount(at) }
	default:
		if err := mountImage(ctx, at, name); err != nil {
			return nil, errors.Join(err, os.Remove(at))
		}
		p.undo = func() error { return unmount(at) }
	}
	if p.root, err = os.Open(at); err != nil {
		return nil, errors.Join(err, p.undo())
	}
	return p, nil
}

// mountImage makes an image with a file system of the kind name and mounts it at dir. The image's file has no name
// any more when it is mounted: the last one to let go of it is the loop device.
func mountImage(ctx context.Context, dir, name string) error {
	maker, ok := makers[name]
	if !ok {
		return fmt.Errorf("file system %q: want disk, tmpfs, ext4, xfs or btrfs", name)
	}
	image := dir + ".img"
	f, err := os.OpenFile(image, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(image)
	if err := errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, imageBytes), f.Close()); err != nil {
		return fmt.Errorf("reserve %d bytes for %s: %w", imageBytes, image, err)
	}
	if out, err := exec.CommandContext(ctx, maker[0], append(maker[1:], image)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s: %w: %s", errUnavailable, maker[0], err, out)
	}
	if out, err := exec.CommandContext(ctx, "mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: mount %s: %w: %s", errUnavailable, name, err, out)
	}
	return nil
}

func unmount(dir string) error {
	if err := unix.Unmount(dir, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return os.Remove(dir)
}

// settle has everything written that was changed on the file system, so that a sync that is
// measured pays for its own bytes alone: on ext4 it would write others' changes, too.
func (p *place) settle() error {
	if err := unix.Syncfs(int(p.root.Fd())); err != nil {
		return fmt.Errorf("syncfs %s: %w", p.dir, err)
	}
	return nil
}

func (p *place) close() error { return errors.Join(p.root.Close(), p.undo()) }
