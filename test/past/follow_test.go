package past_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/leaselog/leaselog/test/caller"
)

// follower is a leasectl that tells events as they happen.
type follower struct {
	*watcher
	n      caller.Network
	cmd    *exec.Cmd
	stderr bytes.Buffer
	told   []event
	done   chan struct{} // closed when the last event was told, or nothing more comes
}

// lastID is the container whose event is the last one.
const lastID = "last"

// followLimit is how long the last event may take to be told.
const followLimit = time.Minute

// follow begins to follow the events of a network. The stores can't be written meanwhile; system calls are not watched.
func (w *watcher) follow(n caller.Network) *follower {
	w.t.Helper()
	f := &follower{watcher: w, n: n, done: make(chan struct{})}
	argv := append(slices.Clone(w.under), leasectl, "events", "--follow", "--since", "1", "--poll", "5ms",
		"--data-dir", n.DataDir, "--network", n.Name, "-o", "jsonl")
	f.cmd = exec.Command(argv[0], argv[1:]...)
	f.cmd.Stderr = &f.stderr
	stdout, err := f.cmd.StdoutPipe()
	if err == nil {
		err = f.cmd.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	go f.read(stdout)
	return f
}

func (f *follower) read(stdout io.Reader) {
	defer close(f.done)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		var ev event
		if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
			f.t.Errorf("events --follow: %v: %q", err, lines.Bytes())
			return
		}
		if f.told = append(f.told, ev); ev.ContainerID == lastID {
			return
		}
	}
	f.t.Errorf("events --follow ended by itself: %v", lines.Err())
}

// end makes one more event, waits until it is told, and returns all that were.
func (f *follower) end() []event {
	f.t.Helper()
	f.call(caller.Call{Network: f.n, Verb: "DEL", ID: lastID})
	timer := time.AfterFunc(followLimit, func() {
		f.t.Errorf("events --follow has not told of the last event after %s", followLimit)
		_ = f.cmd.Process.Kill()
	})
	<-f.done
	timer.Stop()
	_ = f.cmd.Process.Signal(os.Interrupt) // it may have ended, which Wait says
	if err := f.cmd.Wait(); err != nil {
		f.t.Errorf("events --follow, interrupted: %v: %s", err, &f.stderr)
	}
	return f.told
}
