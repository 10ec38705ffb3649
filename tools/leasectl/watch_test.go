package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// watched is a leasectl --watch that runs on a terminal of its own.
type watched struct {
	t    *testing.T
	cmd  *exec.Cmd
	near *os.File
	text string // all that it wrote
}

func watchOn(t *testing.T, width, height uint16, args ...string) *watched {
	t.Helper()
	near, far := openTerminal(t)
	w := &watched{t: t, near: near}
	w.resize(width, height)
	w.cmd, _ = command(t, args...)
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = far, far, far
	w.cmd.Env = append(w.cmd.Env, "TERM=xterm", "LC_ALL=C.UTF-8", "NO_COLOR=1")
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // so that keys and sizes reach it as signals
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	far.Close()
	t.Cleanup(func() {
		w.cmd.Process.Kill()
		w.cmd.Wait()
	})
	return w
}

func (w *watched) resize(width, height uint16) {
	w.t.Helper()
	if err := unix.IoctlSetWinsize(int(w.near.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}); err != nil {
		w.t.Fatal(err)
	}
}

// more reads on, and reports whether there is more.
func (w *watched) more() bool {
	b := make([]byte, 4096)
	n, err := w.near.Read(b)
	w.text += string(b[:n])
	return err == nil
}

// frame waits for a picture, drawn to its end, that shall do, and returns its lines.
func (w *watched) frame(what string, does func(lines []string) bool) []string {
	w.t.Helper()
	for {
		for frame := range strings.SplitSeq(w.text, screenTop) {
			drawn, _, whole := strings.Cut(frame, screenEnd)
			if lines := strings.Split(strings.ReplaceAll(drawn, "\r", ""), lineEnd+"\n"); whole && does(lines) {
				w.text = w.text[strings.Index(w.text, frame)+len(frame):]
				return lines
			}
		}
		if !w.more() {
			w.t.Fatalf("no picture %s in %q", what, w.text)
		}
	}
}

// with waits for a picture that has a text.
func (w *watched) with(text string) []string {
	w.t.Helper()
	return w.frame("with "+text, func(lines []string) bool { return strings.Contains(strings.Join(lines, "\n"), text) })
}

// appendTo appends events to a store in use.
func appendTo(t *testing.T, dataDir, text string) {
	t.Helper()
	events, err := parseEvents(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := liveStore(dataDir, "net", events); err != nil {
		t.Fatal(err)
	}
}

// TestWatch: on a terminal, a picture is drawn over the one before when the plugin has worked, when the terminal has another size, and
// when the store is gone or there again. Control-C ends it, and the terminal is as it was.
func TestWatch(t *testing.T) {
	dataDir := t.TempDir()
	appendTo(t, dataDir, "1 config subnet=10.0.0.0/24\n1 add id=c1 ip=10.0.0.2/24 config=2\n")
	w := watchOn(t, 90, 30, "map", "--watch", "--data-dir", dataDir)
	lines := w.with("1 held, 252 free, of 253; certain")
	if want := "10.0.0.0 -G█·"; !strings.HasPrefix(strings.TrimSpace(lines[3]), want) {
		t.Errorf("got %q, want %q…", lines[3], want)
	}
	appendTo(t, dataDir, "1 add id=c2 ip=10.0.0.5/24 config=2\n")
	w.with("2 held, 251 free")
	w.resize(30, 30)
	for _, line := range w.frame("of 30 columns", func(lines []string) bool { return strings.HasSuffix(lines[0], " at") }) {
		if n := utf8.RuneCountInString(line); n > 30 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	w.resize(60, 4)
	if lines := w.frame("of 4 lines", func(lines []string) bool { return len(lines) == 4 }); !strings.HasPrefix(lines[3], "... ") {
		t.Errorf("the last line of a small terminal is %q", lines[3])
	}
	w.resize(90, 30)
	history := filepath.Join(dataDir, historyName)
	if err := os.Rename(history, history+".away"); err != nil {
		t.Fatal(err)
	}
	w.frame("without held addresses", func(lines []string) bool { return !strings.Contains(strings.Join(lines, " "), " held") })
	if err := os.Rename(history+".away", history); err != nil {
		t.Fatal(err)
	}
	w.with("2 held, 251 free")
	appendTo(t, dataDir, "1 del id=c1 ip=10.0.0.2/24 reason=del\n")
	w.with("1 held, 252 free")
	if _, err := w.near.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	for w.more() {
	}
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("after Control-C: %v, want exit code 0", err)
	}
	if !strings.HasSuffix(w.text, leaveScreen) {
		t.Errorf("the terminal is left with %q", w.text)
	}
}

// TestWatchPiped: where there is no terminal, pictures follow one another, and no terminal is told anything.
func TestWatchPiped(t *testing.T) {
	dataDir := t.TempDir()
	appendTo(t, dataDir, "1 config subnet=10.0.0.0/24\n1 add id=c1 ip=10.0.0.2/24 config=2\n")
	cmd, words := command(t, "timeline", "10.0.0.2", "--watch", "--since", "-1h", "--data-dir", dataDir)
	cmd.Env = append(cmd.Env, "LC_ALL=C", "COLUMNS=70")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	var text string
	until := func(want string) {
		t.Helper()
		for !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			if !lines.Scan() {
				t.Fatalf("no %q in %q", want, text)
			}
			text += lines.Text() + "\n"
		}
	}
	until("to still held, events 3-, certain")
	appendTo(t, dataDir, "1 del id=c1 ip=10.0.0.2/24 reason=del\n")
	until("del, events 3-4, certain")
	if !strings.Contains(text, "\n\n10.0.0.2 in net on ") || strings.Contains(text, "\x1b") {
		t.Errorf("got %q", text)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v, want exit code 0; said %s", err, words)
	}
}

// TestWatchFails: what goes wrong at once is said where the shell is.
func TestWatchFails(t *testing.T) {
	w := watchOn(t, 80, 24, "map", "--watch", "--data-dir", t.TempDir())
	for w.more() {
	}
	if w.cmd.Wait(); w.cmd.ProcessState.ExitCode() != exitError || !strings.Contains(w.text, "no network has a store") || strings.Contains(w.text, enterScreen) {
		t.Errorf("exit code %d, %q", w.cmd.ProcessState.ExitCode(), w.text)
	}
}
