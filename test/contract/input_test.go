package contract_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// printed is an error as it is on standard output.
type printed struct {
	Code int
	Msg  string
}

// wantFailure fails the test unless a is the one error on standard output that has the
// code, and words that hold the text.
func wantFailure(t *testing.T, a answer, code int, text string) {
	t.Helper()
	var p printed
	if err := json.Unmarshal([]byte(a.stdout), &p); err != nil || a.exit != 1 {
		t.Fatalf("got %v%s\nwant an error as JSON, exit 1: %v", a, a.stderr, err)
	}
	if p.Code != code || !strings.Contains(p.Msg, text) {
		t.Errorf("got code %d %q, want %d %q", p.Code, p.Msg, code, text)
	}
}

// entries returns what is in dir, at any depth.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestBadInput is what a new user gets wrong: each has one clear error, and no trace is left.
func TestBadInput(t *testing.T) {
	ranges := strings.Repeat(`[{"subnet":"10.0.0.0/8"}],`, 10_000_000/26)
	for _, test := range []struct {
		name string
		step step
		code int
		text string
	}{
		{"empty input", step{verb: "ADD"}, 6, "unexpected end of JSON input"},
		{"10 MB of JSON that is not finished", step{verb: "ADD", conf: plain[:len(plain)-1] + strings.Repeat(" ", 10_000_000)}, 6, "unexpected end of JSON input"},
		{"10 MB of range sets", step{verb: "ADD", conf: net("1.0.0", `{"dataDir":"@DIR@","ranges":[`+ranges+`[]]}`)}, 7, "384616 ranges are more than 4096"},
		{"10 MB of name", step{verb: "ADD", conf: strings.Replace(plain, `"n"`, `"`+strings.Repeat("n", 10_000_000)+`"`, 1)}, 7, "network name is 10000000 bytes long"},
		{"more sets than a record holds", step{verb: "ADD", conf: net("1.0.0", `{"dataDir":"@DIR@","ranges":[`+manySets(400)+`]}`)}, 7, "400 range sets"},
		{"long container ID", step{verb: "ADD", id: strings.Repeat("c", 5000), conf: plain}, 4, "container ID is too long"},
		{"dataDir is a file", step{verb: "ADD", conf: strings.Replace(plain, "@DIR@", "/proc/version", 1)}, 5, "/proc/version"},
		{"dataDir below a file", step{verb: "ADD", conf: strings.Replace(plain, "@DIR@", "/proc/version/x", 1)}, 5, "/proc/version"},
		{"unwritable dataDir", step{verb: "ADD", conf: strings.Replace(plain, "@DIR@", "/proc/leaselog", 1)}, 5, "/proc/leaselog"},
		{"dataDir with a zero byte", step{verb: "ADD", conf: strings.Replace(plain, "@DIR@", `/tmp/a\u0000b`, 1)}, 5, "invalid argument"},
		{"GC with a list of another type", step{verb: "GC", conf: strings.Replace(dual, `"name"`, `"cni.dev/valid-attachments":{},"name"`, 1)}, 7, "cni.dev/valid-attachments: json: cannot unmarshal object"},
		{"prevResult of another type", step{verb: "CHECK", conf: strings.Replace(plain, `"name"`, `"prevResult":5,"name"`, 1)}, 7, "prevResult: json: cannot unmarshal number"},
		{"STATUS of a name that no folder can have", step{verb: "STATUS", conf: strings.Replace(dual, `"n"`, `"`+strings.Repeat("n", 256)+`"`, 1)}, 50, "network name is 256 bytes long"},
		{"STATUS of an unwritable dataDir", step{verb: "STATUS", conf: strings.Replace(dual, "@DIR@", "/proc/version", 1)}, 50, "/proc/version"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			wantFailure(t, test.step.run(t, leaselog, dir), test.code, test.text)
			if left := entries(t, dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func manySets(n int) string {
	sets := make([]string, n)
	for i := range sets {
		sets[i] = `[{"subnet":"10.` + strconv.Itoa(i/250) + `.` + strconv.Itoa(i%250) + `.0/24"}]`
	}
	return strings.Join(sets, ",")
}

// TestNothingBecomesATrace has calls that must leave the disk as it was.
func TestNothingBecomesATrace(t *testing.T) {
	for _, s := range []step{
		{name: "DEL", verb: "DEL", conf: plain},
		{name: "CHECK", verb: "CHECK", conf: plain},
		{name: "STATUS", verb: "STATUS", conf: dual},
		{name: "GC", verb: "GC", conf: strings.Replace(dual, `"name"`, `"cni.dev/valid-attachments":[],"name"`, 1)},
		{name: "ADD in the plugin's own network namespace", verb: "ADD", conf: plain, env: []string{"CNI_NETNS=/proc/self/ns/net", "CNI_NETNS_OVERRIDE"}},
		{name: "ADD without resolvConf", verb: "ADD", conf: net("1.0.0", with(`,"resolvConf":"/no/such/file"`))},
	} {
		t.Run(s.name, func(t *testing.T) {
			dir := t.TempDir()
			s.run(t, leaselog, dir)
			if left := entries(t, dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestContainerIDs has every character that the specification allows.
func TestContainerIDs(t *testing.T) {
	dir := t.TempDir()
	for i, id := range []string{
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", "0", "a..", "a-_.", strings.Repeat("f", 64), strings.Repeat("x", 1000),
	} {
		for _, verb := range []string{"ADD", "CHECK", "DEL"} {
			if a := (step{verb: verb, id: id, conf: plain}).run(t, leaselog, dir); a.exit != 0 {
				t.Errorf("%s of ID %d %q: %v", verb, i, id, a)
			}
		}
		wantFailure(t, step{verb: "CHECK", id: id, conf: plain}.run(t, leaselog, dir), 103, id)
	}
}

// TestRelativeDataDir has a dataDir that is relative to the working directory.
func TestRelativeDataDir(t *testing.T) {
	dir := t.TempDir()
	relative := step{verb: "ADD", conf: strings.Replace(plain, "@DIR@", "some/where", 1)}
	if a := call(t, dir, leaselog, relative.environment(), relative.conf); a.exit != 0 {
		t.Fatalf("ADD: %v", a)
	}
	if a := (step{verb: "CHECK", conf: plain}).run(t, leaselog, filepath.Join(dir, "some", "where")); a.exit != 0 {
		t.Errorf("CHECK in the absolute folder: %v", a)
	}
}

// TestHistoryDir has the history apart from the data folder.
func TestHistoryDir(t *testing.T) {
	data, history := t.TempDir(), t.TempDir()
	conf := strings.Replace(plain, `"subnet"`, `"historyDir":"`+history+`","subnet"`, 1)
	if a := (step{verb: "ADD", conf: conf}).run(t, leaselog, data); a.exit != 0 {
		t.Fatalf("ADD: %v", a)
	}
	if _, err := os.Stat(filepath.Join(history, "n", "META")); err != nil {
		t.Errorf("history: %v", err)
	}
	if _, err := os.Stat(filepath.Join(data, ".leaselog")); err == nil {
		t.Error("the default history folder exists too")
	}
	// A DEL that can't read where the data folder is must not take it for wiped.
	half := strings.NewReplacer(`"n"`, `"leaselog-contract"`, `"@DIR@"`, `5`).Replace(conf)
	whole := strings.Replace(conf, `"n"`, `"leaselog-contract"`, 1)
	if a := (step{verb: "ADD", conf: whole}).run(t, leaselog, data); a.exit != 0 {
		t.Fatalf("ADD: %v", a)
	}
	wantFailure(t, step{verb: "DEL", conf: half}.run(t, leaselog, data), 7, "of type string")
	if a := (step{verb: "CHECK", conf: whole}).run(t, leaselog, data); a.exit != 0 {
		t.Errorf("CHECK after a DEL that went nowhere: %v", a)
	}
	// Only the folders are readable here, and DEL has to go by them.
	broken := strings.Replace(conf, `"subnet":"10.1.2.0/24"`, `"HISTORYDIR":"`+history+`","subnet":5`, 1)
	if a := (step{verb: "DEL", conf: broken}).run(t, leaselog, data); a.exit != 0 {
		t.Fatalf("DEL: %v", a)
	}
	wantFailure(t, step{verb: "CHECK", conf: conf}.run(t, leaselog, data), 103, "c1")
}

// TestForeignFiles has files in the folder that are neither host-local's nor ours: what they mean is not known, so
// nothing is given out and nothing is touched.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "n")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"10.1.2.2.bak": "c1\r\neth0", "lock": ""} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := entries(t, dir)
	wantFailure(t, step{verb: "ADD", conf: plain}.run(t, leaselog, dir), 5, "")
	if after := entries(t, dir); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("got %v, want %v", after, before)
	}
}

// TestLockTimeout holds the lock: a call gives up with code 11 and says who has it.
func TestLockTimeout(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc/locks")
	}
	dir := t.TempDir()
	if a := (step{verb: "ADD", conf: plain}).run(t, leaselog, dir); a.exit != 0 {
		t.Fatalf("ADD: %v", a)
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".leaselog", "n", "lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	short := strings.Replace(plain, `"subnet"`, `"lockTimeout":"50ms","subnet"`, 1)
	for _, test := range []struct {
		name string
		step step
	}{
		{"ADD", step{verb: "ADD", id: "c2", conf: short}},
		{"DEL", step{verb: "DEL", conf: short}},
		{"DEL with a number of seconds", step{verb: "DEL", conf: strings.Replace(short, `"50ms"`, `0.05`, 1)}},
		{"GC", step{verb: "GC", conf: strings.Replace(strings.Replace(short, `"name"`, `"cni.dev/attachments":[],"name"`, 1), "1.0.0", "1.1.0", 1)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			start := time.Now()
			wantFailure(t, test.step.run(t, leaselog, dir), 11, strconv.Itoa(os.Getpid()))
			if took := time.Since(start); took > 20*time.Second { // it would be 30 without being told
				t.Errorf("took %s with a timeout of 50 ms", took)
			}
		})
	}
	for _, verb := range []string{"CHECK", "STATUS"} {
		conf := strings.Replace(short, "1.0.0", "1.1.0", 1)
		if a := (step{verb: verb, conf: conf}).run(t, leaselog, dir); a.exit != 0 {
			t.Errorf("%s waits for the lock: %v", verb, a)
		}
	}
}

// TestAbout is a call by a person.
func TestAbout(t *testing.T) {
	a := call(t, t.TempDir(), leaselog, nil, "")
	want := "CNI leaselog plugin v0.0.0-test\nCNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n"
	if a.exit != 0 || a.stdout != "" || a.stderr != want {
		t.Errorf("got %v stderr %q, want stderr %q", a, a.stderr, want)
	}
}
