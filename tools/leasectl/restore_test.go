package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leaselog/leaselog/journal"
)

// randomEvents are ADDs, DELs and GCs of some containers on some addresses, a second or more apart.
func randomEvents(r *rand.Rand, n int) (text string, last int) {
	var b strings.Builder
	b.WriteString("1 config subnet=10.0.0.0/28\n")
	held := map[int]int{} // container by address
	at := 2
	for i := range n {
		ip := 2 + r.IntN(10)
		at += 1 + r.IntN(20)
		boot := 1 + 3*i/n
		if id, ok := held[ip]; ok {
			reason := []string{"del", "del", "gc"}[r.IntN(3)]
			fmt.Fprintf(&b, "%d del boot=%d id=c%d ip=10.0.0.%d/28 reason=%s\n", at, boot, id, ip, reason)
			delete(held, ip)
			continue
		}
		held[ip] = i
		fmt.Fprintf(&b, "%d add boot=%d id=c%d ip=10.0.0.%d/28 config=2 pod=default/p%d\n", at, boot, i, ip, i)
	}
	return b.String(), at
}

// TestRestoredAnswers: of the time before a backup a restored store tells what the original tells, and of the time behind it, that it
// is unknown.
func TestRestoredAnswers(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	text, last := randomEvents(r, 80)
	was, file := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	if err := madeOf(oldStore, was, text); err != nil {
		t.Fatal(err)
	}
	now := filepath.Join(t.TempDir(), "networks")
	for _, args := range [][]string{{"backup", "-o", file, "--data-dir", was}, {"restore", file, "--data-dir", now}} {
		if _, words, code := leasectl(args...); code != exitFound {
			t.Fatalf("%q: exit code %d, %s", args, code, words)
		}
	}
	when := func() string { return stamp(epoch.Add(time.Duration(r.Int64N(int64(last) * int64(time.Second))))) }
	var questions [][]string
	for range 25 {
		ip := fmt.Sprintf("10.0.0.%d", 1+r.IntN(13))
		from, to := when(), when()
		if to < from {
			from, to = to, from
		}
		questions = append(questions, []string{"who", ip, "--at", when()}, []string{"who", ip, "--at", from, "--skew", "9s"}, []string{"at", when()},
			[]string{"diff", from, to}, []string{"history", "--ip", ip, "--since", from, "--until", to},
			[]string{"history", "--pod", fmt.Sprintf("default/p%d", r.IntN(80)), "--since", from, "--until", to})
	}
	for _, q := range questions {
		want, _, wantCode := leasectl(append(q, "-o", "csv", "--data-dir", was)...)
		got, words, code := leasectl(append(q, "-o", "csv", "--data-dir", now)...)
		// What was held at last has one doubt more, and rows that are no lease's name the store that was asked.
		got = strings.ReplaceAll(got, handover{backup: epoch}.stillHeld(), "")
		if got = strings.ReplaceAll(got, storeID(t, now), storeID(t, was)); got != want || code != wantCode {
			t.Errorf("%q: exit code %d, want %d; got\n%swant\n%s%s", q, code, wantCode, got, want, words)
		}
	}
	behind := stamp(epoch.Add(time.Duration(last+3600) * time.Second))
	for _, q := range [][]string{{"who", "10.0.0.3", "--at", behind}, {"who", "10.0.0.13", "--at", behind}, {"at", behind}, {"diff", stamp(epoch.Add(time.Minute)), behind},
		{"history", "--ip", "10.0.0.3", "--since", behind}, {"history", "--ip", "10.0.0.3"}, {"history", "--ip", "10.0.0.3", "--until", behind}} {
		if out, words, code := leasectl(append(q, "--data-dir", now)...); code != exitUnknown {
			t.Errorf("%q: exit code %d, want 3: %s%s", q, code, out, words)
		}
	}
	log := filepath.Join(t.TempDir(), "log.csv")
	rows := strings.Join([]string{"ip,time", "10.0.0.3," + behind, "10.0.0.13," + behind, "10.0.0.200," + stamp(epoch.Add(time.Minute))}, "\n")
	if err := os.WriteFile(log, []byte(rows+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, words, _ := leasectl("join", log, "--ip", "ip", "--time", "time", "--data-dir", now)
	if rows := strings.Split(out, "\n"); len(rows) < 4 || !strings.Contains(rows[1], "unknown") || !strings.Contains(rows[2], "unknown") || strings.Contains(rows[3], "unknown") {
		t.Errorf("join: want unknown, unknown, and not:\n%s%s", out, words)
	}
}

// TestCoveredAhead: that a clock was ahead when a backup was made doesn't make certain what happened after it, and before the restore.
func TestCoveredAhead(t *testing.T) {
	was, now := t.TempDir(), t.TempDir()
	if err := madeOf(oldStore, was, "1 config subnet=10.0.0.0/28\n2 add id=c1 ip=10.0.0.2/28 config=2\n"); err != nil {
		t.Fatal(err)
	}
	succeed(t, was, now, journal.Attribute{Key: journal.AttributeBackup, Value: "2099-01-01T00:00:00Z"},
		journal.Attribute{Key: journal.AttributeCovered, Value: "2099-01-01T00:00:00Z"}, journal.Attribute{Key: journal.AttributeLost, Value: journal.LostUnknown})
	behind := stamp(epoch.Add(time.Hour))
	for _, q := range [][]string{{"who", "10.0.0.2", "--at", behind}, {"who", "10.0.0.9", "--at", behind}, {"at", behind}, {"history", "--ip", "10.0.0.9", "--since", behind}} {
		if out, words, code := leasectl(append(q, "--data-dir", now)...); code != exitUnknown {
			t.Errorf("%q: exit code %d, want 3: %s%s", q, code, out, words)
		}
	}
}

// TestParentEndsEarly: where the last events of a succeeded store are gone, and no marker tells of them, its successor does: what came after
// those that are left is unknown.
func TestParentEndsEarly(t *testing.T) {
	was, now := t.TempDir(), t.TempDir()
	if err := madeOf(oldStore, was, "1 config subnet=10.0.0.0/28\n2 add id=c1 ip=10.0.0.2/28 config=2\n3 add id=c2 ip=10.0.0.3/28 config=2\n"+
		"4 del id=c1 ip=10.0.0.2/28\n"); err != nil {
		t.Fatal(err)
	}
	succeed(t, was, now, journal.Attribute{Key: journal.AttributeLost, Value: "0"})
	at := stamp(epoch.Add(time.Hour))
	log := filepath.Join(t.TempDir(), "log.csv")
	if err := os.WriteFile(log, []byte("ip,time\n10.0.0.3,"+at+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	questions := [][]string{{"who", "10.0.0.3", "--at", at}, {"who", "10.0.0.9", "--at", at}, {"at", at}, {"history", "--ip", "10.0.0.3", "--since", at, "--until", at},
		{"map", "--at", at}, {"timeline", "10.0.0.3", "--since", at, "--until", at}, {"diff", at, stamp(epoch.Add(2 * time.Hour))}, {"export", "events", "--since", at, "--until", at}}
	for _, q := range questions {
		if out, words, code := leasectl(append(q, "--data-dir", now)...); code == exitUnknown {
			t.Errorf("%q of the whole parent: exit code %d: %s%s", q, code, out, words)
		}
	}
	parent := filepath.Join(now, historyName, "cbr0", "archive", storeID(t, was))
	r, err := journal.OpenReader(parent)
	if err != nil {
		t.Fatal(err)
	}
	var last journal.Record
	for rec, err := range r.Records(r.Coverage().Durable - 1) {
		if err != nil {
			t.Fatal(err)
		}
		last = rec
	}
	if err := errors.Join(r.Close(), os.Truncate(filepath.Join(parent, last.File), last.Offset)); err != nil {
		t.Fatal(err)
	}
	for _, q := range questions {
		out, words, code := leasectl(append(q, "--data-dir", now)...)
		if text := out + words; code != exitUnknown || !strings.Contains(text, "as its successor says") {
			t.Errorf("%q: exit code %d, want 3: %s", q, code, text)
		}
	}
	if out, words, _ := leasectl("join", log, "--ip", "ip", "--time", "time", "--data-dir", now); !strings.Contains(out, "unknown") || !strings.Contains(words, "as its successor says") {
		t.Errorf("join: want unknown:\n%s%s", out, words)
	}
}

// succeed makes a journal in folder now that succeeds the one in folder was, without leases, and whose first event has the attributes.
func succeed(t *testing.T, was, now string, attributes ...journal.Attribute) {
	t.Helper()
	from, history := filepath.Join(was, historyName, "cbr0"), filepath.Join(now, historyName)
	r, err := journal.OpenReader(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := journal.Restore(history, from, journal.NewStore{Network: "cbr0", DataDir: now, Version: "test", AllowNetworkFS: true,
		Claim: func(id journal.ID) (func(), error) {
			return journal.WriteClaim(filepath.Join(now, "cbr0"), id, filepath.Join(history, "cbr0"))
		}}, journal.Successor{ParentSeq: r.Coverage().Durable, Attributes: attributes, Write: func(*journal.Journal) error { return nil }},
		time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
}

// storeID returns the ID of the journal that a data folder's network has.
func storeID(t *testing.T, dataDir string) string {
	t.Helper()
	meta, err := journal.ReadMeta(filepath.Join(dataDir, historyName, "cbr0"))
	if err != nil {
		t.Fatal(err)
	}
	return meta.ID.String()
}
