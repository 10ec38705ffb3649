package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// following is a leasectl events --follow that runs.
type following struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
	words *bytes.Buffer
}

func follow(t *testing.T, args ...string) *following {
	t.Helper()
	cmd, words := command(t, append([]string{"events", "--follow", "--poll", "2ms", "-o", "jsonl"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	return &following{t, cmd, lines, words}
}

// next waits for the next event.
func (w *following) next() (ev struct {
	Seq      uint64
	Kind     string
	Evidence struct {
		StoreID string `json:"store_id"`
	}
}) {
	w.t.Helper()
	if !w.lines.Scan() {
		w.cmd.Wait()
		w.t.Fatalf("ended: %v, said %s", w.lines.Err(), w.words)
	}
	if err := json.Unmarshal(w.lines.Bytes(), &ev); err != nil {
		w.t.Fatalf("%s: %v", w.lines.Bytes(), err)
	}
	return ev
}

// expect waits for the events from first to last.
func (w *following) expect(first, last uint64) {
	w.t.Helper()
	for seq := first; seq <= last; seq++ {
		if ev := w.next(); ev.Seq != seq {
			w.t.Fatalf("event %d, want %d", ev.Seq, seq)
		}
	}
}

// end interrupts it and returns what it said.
func (w *following) end(signal syscall.Signal, code int) string {
	w.t.Helper()
	if err := w.cmd.Process.Signal(signal); err != nil {
		w.t.Fatal(err)
	}
	for w.lines.Scan() {
		w.t.Errorf("told at the end: %s", w.lines.Bytes())
	}
	var exit *exec.ExitError
	if err := w.cmd.Wait(); err != nil && !errors.As(err, &exit) || w.cmd.ProcessState.ExitCode() != code {
		w.t.Errorf("ended with %v, want exit code %d; said %s", err, code, w.words)
	}
	return w.words.String()
}

// giveAfter appends one add to a store that has lost events before the last one.
func giveAfter(t *testing.T, dataDir string, last journal.Seq, i int) {
	t.Helper()
	dir := filepath.Join(dataDir, historyName, "net")
	r, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	head, ok := hashAt(r, last)
	if !ok {
		t.Fatalf("event %d is not there", last)
	}
	j, err := journal.Open(dir, time.Now().Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	events, err := parseEvents(fmt.Sprintf("1 add id=c%d ip=10.%d.%d.2/8", i, i/256, i%256))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Load(last, head, func(*journal.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(&events[0]); err != nil {
		t.Fatal(err)
	}
}

// give appends adds of that many containers to a store.
func give(t *testing.T, dataDir string, from, n int) {
	t.Helper()
	var text strings.Builder
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&text, "1 add id=c%d%s ip=10.%d.%d.2/8\n", i, strings.Repeat("x", 200), i/256, i%256)
	}
	events, err := parseEvents(text.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := liveStore(dataDir, "net", events); err != nil {
		t.Fatal(err)
	}
}

// TestFollow: each event is told once and in order, over rotation, archiving and the removal of what was told, and
// the next run goes on where the last one ended.
func TestFollow(t *testing.T) {
	dataDir := t.TempDir()
	dir := filepath.Join(dataDir, historyName, "net")
	give(t, dataDir, 0, 1)
	w := follow(t, "--data-dir", dataDir, "--since", "1")
	w.expect(1, 2)
	give(t, dataDir, 1, 500)
	w.expect(3, 502)
	segments, err := filepath.Glob(filepath.Join(dir, "journal", "*"))
	if err != nil || len(segments) < 3 {
		t.Fatalf("%d segments, %v: want some rotations", len(segments), err)
	}
	if _, err := journal.Archive(dir, 400, time.Now().Add(10*time.Second)); err != nil {
		t.Fatal(err)
	}
	give(t, dataDir, 501, 1)
	w.expect(503, 503)
	archived, err := filepath.Glob(filepath.Join(dir, "archive", "*"))
	if err != nil || len(archived) == 0 {
		t.Fatalf("%d archived segments, %v", len(archived), err)
	}
	for _, path := range archived {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	giveAfter(t, dataDir, 503, 502)
	w.expect(504, 504)
	if words, want := w.end(syscall.SIGINT, exitFound), `network "net": followed up to event 504; --since 505 goes on from there`; !strings.Contains(words, want) {
		t.Errorf("said %s, want %s", words, want)
	}

	giveAfter(t, dataDir, 504, 503)
	giveAfter(t, dataDir, 505, 504)
	w = follow(t, "--data-dir", dataDir, "--since", "505", "--kind", "add")
	w.expect(505, 506)
	w.end(syscall.SIGTERM, exitFound)

	// From the beginning: what was removed is said to be gone, and the rest told.
	w = follow(t, "--data-dir", dataDir, "--since", "1")
	first := w.next().Seq
	w.expect(first+1, 506)
	if words, want := w.end(syscall.SIGINT, exitUnknown), fmt.Sprintf("events 1 to %d are lost", first-1); first < 100 || !strings.Contains(words, want) {
		t.Errorf("began with event %d and said %s, want %s", first, words, want)
	}
}

// TestFollowNew: without --since there are new events alone, of every store; a later one is waited for.
func TestFollowNew(t *testing.T) {
	b, a := t.TempDir(), t.TempDir() // b comes first in order, and so is looked at before a tells anything
	give(t, a, 0, 3)
	give(t, b, 0, 1)
	w := follow(t, "--data-dir", a, "--data-dir", b, "--since", "4")
	w.expect(4, 4) // of a: it has begun
	give(t, b, 1, 3)
	w.expect(4, 5)
	give(t, a, 3, 1)
	w.expect(5, 5)
	words := w.end(syscall.SIGINT, exitFound)
	for _, want := range []string{"the journal has 2 events; waiting for event 4", "followed up to event 5; --since 6"} {
		if !strings.Contains(words, want) {
			t.Errorf("said %s, want %s", words, want)
		}
	}
	if n := strings.Count(words, "waiting for event 4"); n != 1 {
		t.Errorf("said %d times that it waits, want once", n)
	}

	// A table begins with its head at once.
	cmd, _ := command(t, "events", "-f", "--poll", "2ms", "--data-dir", a)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if head, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(head, "NETWORK  SEQ") {
		t.Errorf("head %q, %v", head, err)
	}
	give(t, a, 4, 1)
	if row, err := lines.ReadString('\n'); err != nil || !strings.Contains(row, "c4x") {
		t.Errorf("row %q, %v; want the new event alone", row, err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("told at the end: %q, %v", rest, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestFollowSince: from a time on, and then whatever clocks say.
func TestFollowSince(t *testing.T) {
	dataDir := t.TempDir()
	events, err := parseEvents("10 add id=c1 ip=10.0.0.2/24\n20 add id=c2 ip=10.0.0.3/24\n30 add id=c3 ip=10.0.0.4/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := oldStore(dataDir, "net", events); err != nil {
		t.Fatal(err)
	}
	w := follow(t, "--data-dir", dataDir, "--since", "2026-01-01 00:00:20")
	w.expect(3, 4)
	segment := filepath.Join(dataDir, historyName, "net", firstSegment)
	early, err := parseEvents("10 add id=c1 ip=10.0.0.2/24\n20 add id=c2 ip=10.0.0.3/24\n30 add id=c3 ip=10.0.0.4/24\n1 add id=c4 ip=10.0.0.5/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := rewrite(segment, early); err != nil {
		t.Fatal(err)
	}
	w.expect(5, 5)
	w.end(syscall.SIGINT, exitFound)
}

// rewrite puts other events behind the genesis of a store that nobody uses.
func rewrite(segment string, events []journal.Event) error {
	genesis, err := journal.ReadGenesis(filepath.Dir(filepath.Dir(segment)))
	if err != nil {
		return err
	}
	b, err := encode(genesis.Origin.Journal, append([]journal.Event{genesis}, events...))
	if err != nil {
		return err
	}
	tmp := segment + ".new"
	if err := os.WriteFile(filepath.Join(filepath.Dir(filepath.Dir(segment)), filepath.Base(tmp)), b, 0o600); err != nil {
		return err
	}
	return os.Rename(filepath.Join(filepath.Dir(filepath.Dir(segment)), filepath.Base(tmp)), segment)
}

// TestFollowReplaced: a journal's successor is gone on with, after what is left of the journal; one that has nothing to do with it
// begins anew, and what may have been missed is said.
func TestFollowReplaced(t *testing.T) {
	dataDir := t.TempDir()
	dir := filepath.Join(dataDir, historyName, "net")
	give(t, dataDir, 0, 3)
	w := follow(t, "--data-dir", dataDir, "--since", "1")
	w.expect(1, 4)
	old, err := journal.ReadMeta(dir)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, filepath.Join(dir, firstSegment), "c1x")
	if _, words, code := leasectl("repair", "--apply", "--data-dir", dataDir); code != exitFound {
		t.Fatalf("repair: exit code %d, %s", code, words)
	}
	genesis := w.next()
	if genesis.Seq != 1 || genesis.Kind != "genesis" || genesis.Evidence.StoreID == old.ID.String() {
		t.Errorf("after the repair: %+v, want the new journal's genesis", genesis)
	}
	next, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	last := uint64(next.Coverage().Durable)
	w.expect(2, last)
	give(t, dataDir, 3, 1)
	w.expect(last+1, last+1)

	if err := errors.Join(os.RemoveAll(dir), os.RemoveAll(filepath.Join(dataDir, "net"))); err != nil {
		t.Fatal(err)
	}
	give(t, dataDir, 0, 1)
	w.expect(1, 2)
	words := w.end(syscall.SIGINT, exitUnknown)
	for _, want := range []string{
		fmt.Sprintf("journal %s was succeeded after its event 4 by another, which begins with event 1", old.ID),
		fmt.Sprintf("journal %s is gone, and journal ", next.Meta().ID),
		fmt.Sprintf("what came after event %d of the old one can't be told", last+1),
		"followed up to event 2",
	} {
		if !strings.Contains(words, want) {
			t.Errorf("said\n%swant %s", words, want)
		}
	}
}

// TestFollowBetween: events that came between two looks and a repair, and those of a journal in between, are told from the archive.
func TestFollowBetween(t *testing.T) {
	dataDir := t.TempDir()
	dir := repaired(t, dataDir, 1)
	first, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	var words, out bytes.Buffer
	a := &app{stdout: &out, stderr: &words, now: time.Now(), dataDirs: []string{dataDir}, output: "jsonl"}
	followers, err := a.followers(&eventFilter{})
	if err != nil || len(followers) != 1 {
		t.Fatalf("%d followers, %v", len(followers), err)
	}
	want := []uint64{}
	for i := range 2 {
		before, err := journal.OpenReader(dir)
		if err != nil {
			t.Fatal(err)
		}
		if before.Meta().ID != first.Meta().ID {
			want = append(want, seqs(1, before.Coverage().Durable)...)
		}
		lost := fmt.Sprint("lostq", i)
		events, err := parseEvents("1 add id=" + lost + " ip=10.1.0.2/24\n2 add id=k ip=10.1.0.3/24\n3 del id=k ip=10.1.0.3/24\n4 refuse id=r code=100")
		if err != nil {
			t.Fatal(err)
		}
		if err := liveStore(dataDir, "net", events); err != nil {
			t.Fatal(err)
		}
		n := before.Coverage().Durable
		want = append(want, seqs(n+2, n+4)...) // the first one is lost
		flip(t, filepath.Join(dir, firstSegment), lost)
		if _, words, code := leasectl("repair", "--apply", "--data-dir", dataDir); code != exitFound {
			t.Fatalf("repair: exit code %d, %s", code, words)
		}
	}
	now, err := journal.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, seqs(1, now.Coverage().Durable)...)
	if err := followers[0].look(); err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for line := range strings.Lines(out.String()) {
		var ev struct{ Seq uint64 }
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			t.Fatal(err)
		}
		got = append(got, ev.Seq)
	}
	if !slices.Equal(got, want) || a.code != exitUnknown {
		t.Errorf("told %d, want %d; exit code %d, want %d; said\n%s", got, want, a.code, exitUnknown, words.String())
	}
	if n := strings.Count(words.String(), " was succeeded after its event "); n != 2 {
		t.Errorf("said %d times that a journal was succeeded, want twice:\n%s", n, words.String())
	}
	if n := strings.Count(words.String(), " is lost"); n != 2 {
		t.Errorf("said %d times that an event is lost, want twice:\n%s", n, words.String())
	}
}

func seqs(first, last journal.Seq) []uint64 {
	var all []uint64
	for seq := first; seq <= last; seq++ {
		all = append(all, uint64(seq))
	}
	return all
}
