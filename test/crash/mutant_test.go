package crash

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var mutants = flag.Bool("mutants", false, "see the power-loss tests fail on broken protocols")

// mutant is a way to break the protocol, and the scenario that notices.
type mutant struct {
	name     string
	file     string
	from, to string // text, once in the file
	scenario string
}

const unsynced = "error(nil)"

var mutantTable = []mutant{
	{"no sync before the answer", "journal/append.go", "err := j.log.Sync()", "err := " + unsynced, "calls"},
	{"no folder sync after rotation", "journal/append.go", "errors.Join(SyncDir(filepath.Dir(path)), f.Close())", "f.Close()", "rotation"},
	{"marker says durable before the sync", "journal/append.go", "	if err := j.setMarker(stateWriting); err != nil {", "	j.marker.durable, j.marker.hash = b.last, b.head\n	if err := j.setMarker(stateWriting); err != nil {", "calls"},
	{"marker does not say writing", "journal/append.go", "if err := j.setMarker(stateWriting); err != nil {", "if err := " + unsynced + "; err != nil {", "killed DEL"},
	{"adopted without a sync", "journal/journal.go", "		err = j.active.Sync()\n", "		err = nil\n", "killed before sync"},
	{"adopted without writing it again", "journal/journal.go", "err = rewrite(j.active, j.marker.size)", "err = nil", "killed after failed sync"},
	{"unfenced without the cut", "journal/journal.go", "err = cutBack(f, j.marker.size)", "err = nil", "fenced"},
	{"failed sync not undone", "journal/append.go", "	if err := cutBack(j.active, j.size); err != nil {", "	if err := " + unsynced + "; err != nil {", "failed sync"},
	{"checksum not compared", "journal/codec.go", "binary.BigEndian.Uint32(record[n-trailerBytes+1:]) != checksum(id, seq, body)", "false", "calls"},
	{"torn tail accepted", "journal/journal.go", "	return j.cutTail(s, bad)", "	return nil", "calls"},
	{"torn tail cut before it is kept", "journal/journal.go", "	return name, SyncDir(dir)", "	return name, nil", "torn"},
	{"cut not told after a crash", "journal/journal.go", "j.pending = append(j.pending, &Event{Kind: KindRepair, Text: ErrTorn.Error(),\n			Cut: Cut{File: segment,", "_ = append(j.pending, &Event{Kind: KindRepair, Text: ErrTorn.Error(),\n			Cut: Cut{File: segment,", "torn"},
	{"journal not synced before the snapshot that covers it", "journal/append.go", "if err := j.log.Sync(); err != nil {", "if b.last%1024 == 0 {\n	} else if err := j.log.Sync(); err != nil {", "snapshot"},
	{"snapshot renamed before its data is synced", "state/snapshot.go", "	return f.Sync()", "	return nil", "snapshot"},
	{"segments unlinked before the archive is synced", "journal/retain.go", "if err := SyncDir(to); err != nil {", "if err := " + unsynced + "; err != nil {", "archive"},
	{"claim's name not synced", "journal/claim.go", "err = SyncDir(folder)", "err = nil", "create"},
	{"claim's content not synced", "journal/claim.go", "err = writeNew(tmp, []byte(id.String()+\"\\n\"+historyDir+\"\\n\"))", "err = os.WriteFile(tmp, []byte(id.String()+\"\\n\"+historyDir+\"\\n\"), fileMode)", "create"},
	{"claim's parents not synced", "journal/durable.go", "switch err := SyncDir(parent); {", "switch err := " + unsynced + "; {", "create, killed"},
	{"store in place before its events are synced", "journal/create.go", "	if err == nil {\n		err = f.Sync()\n	}\n	return errors.Join(err, f.Close())\n}\n\n// writeLock", "	return errors.Join(err, f.Close())\n}\n\n// writeLock", "create"},
	{"store in place before its names are synced", "journal/create.go", "err := SyncDir(filepath.Join(tmp, name)); err != nil", "name == newPrefix", "create"},
	{"store's own name not synced", "journal/create.go", "	return SyncDir(historyDir)", "	return nil", "create"},
}

// TestMutants breaks the protocol on purpose, both in the recorded plugin and in recovery, and wants each to be noticed.
func TestMutants(t *testing.T) {
	if !*mutants {
		t.Skip("only with -mutants")
	}
	needStrace(t)
	for _, m := range mutantTable {
		t.Run(m.name, func(t *testing.T) {
			overlay := m.overlay(t)
			run := "^TestPowerLoss$"
			if m.scenario != "" {
				run += "/^" + strings.ReplaceAll(m.scenario, " ", "_") + "$"
			}
			cmd := exec.Command("go", "test", "-count=1", "-short", "-run", run, ".", "-seed", "1")
			cmd.Env = append(os.Environ(), "GOFLAGS=-overlay="+overlay)
			out, err := cmd.CombinedOutput()
			switch {
			case err == nil:
				t.Error("not noticed")
			case !strings.Contains(string(out), "crash point"):
				t.Errorf("fails for another reason: %s", out)
			default:
				first, _, _ := strings.Cut(string(out)[strings.Index(string(out), "crash_test.go"):], "\n")
				t.Logf("%.300s", first)
			}
		})
	}
}

// overlay writes the broken file and returns what -overlay takes.
func (m *mutant) overlay(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.from); n != 1 {
		t.Fatalf("%s has %q %d times", m.file, m.from, n)
	}
	broken := filepath.Join(t.TempDir(), "broken.go")
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{path: broken}})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	for name, content := range map[string][]byte{broken: []byte(strings.Replace(string(text), m.from, m.to, 1)), overlay: list} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}
