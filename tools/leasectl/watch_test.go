package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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
	cmd, _ := command(t, args...)
	return runOn(t, width, height, cmd)
}

// runOn runs a command on a terminal of its own.
func runOn(t *testing.T, width, height uint16, cmd *exec.Cmd, env ...string) *watched {
	t.Helper()
	near, far := openTerminal(t)
	w := &watched{t: t, near: near, cmd: cmd}
	w.resize(width, height)
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = far, far, far
	w.cmd.Env = append(w.cmd.Env, "TERM=xterm", "LC_ALL=C.UTF-8", "NO_COLOR=1")
	w.cmd.Env = append(w.cmd.Env, env...)
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // so that keys and sizes reach it as signals
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	far.Close()
	late := time.AfterFunc(time.Minute, func() { w.cmd.Process.Kill() }) // what never comes ends the reading
	t.Cleanup(func() {
		late.Stop()
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
	defer time.AfterFunc(time.Minute, func() { cmd.Process.Kill() }).Stop() // what never comes fails
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

// until waits for a text.
func (w *watched) until(text string) {
	w.t.Helper()
	for !strings.Contains(w.text, text) {
		if !w.more() {
			w.t.Fatalf("no %q in %q", text, w.text)
		}
	}
	w.text = w.text[strings.Index(w.text, text)+len(text):]
}

// TestWatchDamage: damage of what was read before shows at once, as it does without --watch.
func TestWatchDamage(t *testing.T) {
	dataDir := t.TempDir()
	appendTo(t, dataDir, "1 config subnet=10.0.0.0/29\n1 add id=c1 ip=10.0.0.2/29 config=2\n2 add id=c2 ip=10.0.0.3/29 config=2\n")
	w := watchOn(t, 90, 30, "map", "--watch", "--data-dir", dataDir)
	w.with("2 held")
	if err := flipBit(filepath.Join(dataDir, historyName, "net", firstSegment), "c1"); err != nil {
		t.Fatal(err)
	}
	w.with("; unknown")
}

// TestWatchStopped: Control-Z gives the shell its screen back, and fg draws the picture again. So does SIGCONT by itself, and Control-\
// leaves the shell's screen behind.
func TestWatchStopped(t *testing.T) {
	dataDir := t.TempDir()
	appendTo(t, dataDir, "1 config subnet=10.0.0.0/24\n1 add id=c1 ip=10.0.0.2/24 config=2\n")
	cmd, _ := command(t, "map", "--watch", "--data-dir", dataDir)
	shell := exec.Command("sh", "-mc", `"$0" "$@"; echo the shell; fg; echo code $?`)
	shell.Args, shell.Env = append(shell.Args, cmd.Args...), cmd.Env
	w := runOn(t, 90, 30, shell)
	w.with("1 held")
	press := func(key string) {
		t.Helper()
		if _, err := w.near.WriteString(key); err != nil {
			t.Fatal(err)
		}
	}
	press("\x1a")
	w.until(leaveScreen)
	w.until("the shell")
	w.until(enterScreen)
	w.with("1 held")
	press("\x1c")
	w.until(leaveScreen)
	w.until("SIGQUIT")
	w.until("code 2")
}

// TestWatchAlone: where there is no shell to go back to, nothing stops it, and what was drawn over is drawn again.
func TestWatchAlone(t *testing.T) {
	dataDir := t.TempDir()
	appendTo(t, dataDir, "1 config subnet=10.0.0.0/24\n1 add id=c1 ip=10.0.0.2/24 config=2\n")
	w := watchOn(t, 90, 30, "map", "--watch", "--data-dir", dataDir)
	w.with("1 held")
	for _, sig := range []os.Signal{syscall.SIGTSTP, syscall.SIGCONT} {
		if err := w.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		w.until(enterScreen)
		w.with("1 held")
	}
}

// TestWatchDumb: a terminal that knows no more than lines is told no more.
func TestWatchDumb(t *testing.T) {
	dataDir := t.TempDir()
	appendTo(t, dataDir, "1 config subnet=10.0.0.0/24\n1 add id=c1 ip=10.0.0.2/24 config=2\n")
	cmd, _ := command(t, "map", "--watch", "--data-dir", dataDir)
	w := runOn(t, 90, 5, cmd, "TERM=dumb")
	w.until("unknown\r\n") // the legend, below what 5 lines have room for
	if _, err := w.near.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	for w.more() {
	}
	if w.cmd.Wait(); strings.Contains(w.text, "\x1b") {
		t.Errorf("got %q", w.text)
	}
}

// TestWatchNohup: what is to be ignored is.
func TestWatchNohup(t *testing.T) {
	dataDir := t.TempDir()
	appendTo(t, dataDir, "1 config subnet=10.0.0.0/24\n1 add id=c1 ip=10.0.0.2/24 config=2\n")
	cmd, _ := command(t, "map", "--watch", "--data-dir", dataDir)
	shell := exec.Command("sh", "-c", `trap "" HUP; exec "$0" "$@"`)
	shell.Args, shell.Env = append(shell.Args, cmd.Args...), cmd.Env
	w := runOn(t, 90, 30, shell)
	w.with("1 held")
	if err := w.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	appendTo(t, dataDir, "1 add id=c2 ip=10.0.0.5/24 config=2\n")
	w.with("2 held")
}
