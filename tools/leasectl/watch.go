package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What a terminal is told around pictures that are drawn anew.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // another screen than that of the shell, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	screenTop   = "\x1b[H"
	lineEnd     = "\x1b[K"
	screenEnd   = "\x1b[J"
)

// watcher draws a picture whenever there is something new.
type watcher struct {
	a        *app
	draw     func(*app) (time.Duration, error) // tells how long the picture is right if nothing happens, 0 for ever
	terminal bool

	looked string    // what the stores looked like
	stale  time.Time // when the picture is not right any more; zero for never
	words  string    // that were said
	drawn  bool
	ours   bool // the terminal shows the picture's screen, not the shell's
}

// watch draws until it is interrupted. Stores are looked at as events --follow does: the plugin tells nobody that it has written.
func (a *app) watch(draw func(*app) (time.Duration, error)) error {
	w := &watcher{a: a, draw: draw, terminal: isTerminal(a.stdout) && os.Getenv("TERM") != "dumb"}
	ended, told := make(chan os.Signal, 1), make(chan os.Signal, 8) // none is lost while a picture is drawn
	notify(ended, os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	notify(told, unix.SIGWINCH)
	if w.terminal {
		notify(told, unix.SIGTSTP, unix.SIGCONT, unix.SIGQUIT)
	}
	defer signal.Stop(ended)
	defer signal.Stop(told)
	defer w.leave()
	tick := time.NewTicker(defaultPoll)
	defer tick.Stop()
	for due := true; ; {
		if due = w.changed() || due; due && !w.away() {
			if err := w.show(); err != nil {
				return err
			}
			due = false
		}
		select {
		case <-ended:
			a.code = exitFound
			return nil
		case sig := <-told:
			due = true
			switch sig {
			case unix.SIGTSTP:
				w.leave()
				stop()
			case unix.SIGCONT:
				w.ours = false // what stopped us may have been a signal that nobody is told of
			case unix.SIGQUIT:
				w.leave()
				dieOf(unix.SIGQUIT)
			}
		case <-tick.C:
		}
	}
}

// away reports whether the terminal is somebody else's for now: the shell's, after bg.
func (w *watcher) away() bool {
	f, ok := w.a.stdout.(*os.File)
	if !ok || !w.terminal {
		return false
	}
	front, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil && front != unix.Getpgrp()
}

// again returns the app for one more run.
func (a *app) again(stdout, stderr io.Writer) *app {
	b := *a
	b.now = a.clock().UTC()
	b.stdout, b.stderr, b.bar = stdout, stderr, nil
	b.opened, b.faults, b.failed, b.code = nil, nil, false, 0
	return &b
}

func (a *app) close() {
	for _, s := range a.opened {
		s.close()
	}
}

// changed reports whether there is something new to draw.
func (w *watcher) changed() bool {
	look := w.look()
	changed := look != w.looked || !w.stale.IsZero() && !w.a.clock().Before(w.stale)
	w.looked = look
	return changed
}

// look tells in words all that makes answers differ, but for the time.
func (w *watcher) look() string {
	b := w.a.again(io.Discard, io.Discard)
	defer b.close()
	stores, err := b.stores()
	var text strings.Builder
	fmt.Fprintln(&text, err, b.faults)
	for _, s := range stores {
		fmt.Fprintln(&text, s.dir, s.meta.ID, s.wiped, s.foreign, s.broken, s.doubts, len(s.parents))
		if s.reader != nil {
			fmt.Fprintln(&text, s.reader.Coverage().Durable)
		}
		s.files(&text)
		for _, spare := range s.spares {
			spare.files(&text)
		}
	}
	return text.String()
}

// files tells in words which files the store has, and when each was changed: what was read before may be damaged since.
func (s *store) files(text *strings.Builder) {
	_ = filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error { // every error is told, and none ends it
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		fmt.Fprintln(text, path, err, st.Ino, st.Size, st.Ctim)
		return nil
	})
}

// show draws. What goes wrong at first ends the watching; later it is said, and may pass.
func (w *watcher) show() error {
	var out, words bytes.Buffer
	b := w.a.again(&out, &words)
	defer b.close()
	sc := w.a.screen()
	if w.terminal {
		_, sc.height, _ = sizeOf(w.a.stdout)
	}
	b.drawnOn = sc
	right, err := w.draw(b)
	if err != nil && !w.drawn {
		_, _ = w.a.stderr.Write(words.Bytes())
		return err
	}
	if err != nil {
		b.say("%v", err)
	}
	if w.stale = (time.Time{}); right > 0 {
		w.stale = b.now.Add(right)
	}
	if w.terminal {
		return w.paint(sc, out.String(), words.String())
	}
	return w.print(out.String(), words.String())
}

// print prints a picture below the one before, and words where they are new.
func (w *watcher) print(picture, words string) error {
	if words != w.words {
		w.words = words
		if _, err := io.WriteString(w.a.stderr, words); err != nil {
			return err
		}
	}
	if w.drawn {
		picture = "\n" + picture
	}
	w.drawn = true
	_, err := io.WriteString(w.a.stdout, picture)
	return err
}

// paint draws a picture over the one before, with the words below it. What has no room is left out, and how much that is is said.
func (w *watcher) paint(sc *screen, picture, words string) error {
	lines := strings.Split(strings.TrimSuffix(picture, "\n"), "\n")
	for line := range strings.Lines(words) {
		for _, part := range sc.wrap(line, 2) {
			lines = append(lines, sc.paint(faint, part))
		}
	}
	if n := len(lines); sc.height > 0 && n > sc.height {
		lines = append(lines[:sc.height-1:sc.height-1], fmt.Sprintf("... %s", count(n-sc.height+1, "more line")))
	}
	text := screenTop + strings.Join(lines, lineEnd+"\n") + lineEnd + screenEnd
	if !w.ours {
		text = enterScreen + text
	}
	w.drawn, w.ours = true, true
	_, err := io.WriteString(w.a.stdout, text)
	return err
}

// leave gives the terminal back as it was.
func (w *watcher) leave() {
	if w.ours {
		_, _ = io.WriteString(w.a.stdout, leaveScreen)
		w.ours = false
	}
}
