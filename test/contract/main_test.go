// Package contract_test runs the built plugin, and beside it the reference plugin
// host-local, on the same input: the answers must be the same, byte for byte, but for
// the error codes and the differences that are listed with their reasons.
package contract_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Paths of the binaries; hostLocal is empty if there is none.
var leaselog, hostLocal string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "leaselog-contract-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	root, err := filepath.Abs("../..")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	leaselog = filepath.Join(dir, "leaselog")
	build := exec.Command("go", "build", "-ldflags", "-X github.com/leaselog/leaselog/plugin.version=v0.0.0-test", "-o", leaselog, ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	hostLocal = os.Getenv("LEASELOG_HOST_LOCAL")
	if built := filepath.Join(root, "bin", "test", "host-local"); hostLocal == "" {
		if _, err := os.Stat(built); err == nil {
			hostLocal = built
		}
	}
	return m.Run()
}

// needHostLocal skips a comparison that has nothing to compare with.
func needHostLocal(t *testing.T) {
	t.Helper()
	if hostLocal == "" {
		t.Skip("the reference plugin host-local is not built: make test builds it, or set LEASELOG_HOST_LOCAL to its path")
	}
}

// answer is everything that a caller sees of one call.
type answer struct {
	stdout, stderr string
	exit           int
}

func (a answer) String() string { return fmt.Sprintf("exit %d\n%s", a.exit, a.stdout) }

// call runs binary in the folder with the environment, which is all that it gets.
func call(t *testing.T, folder, binary string, env []string, stdin string) answer {
	t.Helper()
	cmd := exec.Command(binary)
	cmd.Env = env
	cmd.Dir = folder
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %s: %v", binary, err)
	}
	return answer{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// step is one call of a scenario.
type step struct {
	name string
	verb string   // CNI_COMMAND
	id   string   // CNI_CONTAINERID, c1 if empty
	env  []string // more variables, or others than the usual; "NAME" alone takes one away
	conf string   // standard input; @DIR@ stands for the plugin's own data folder

	// code is what we say where host-local says 999; 0 if the answers are the same.
	code int
	// ours is our answer where it is another one on purpose, and why says why.
	ours *answer
	why  string
}

// environment returns the variables of the step.
func (s step) environment() []string {
	vars := []string{
		"CNI_COMMAND=" + s.verb, "CNI_CONTAINERID=" + s.id, "CNI_NETNS=/no/such/netns",
		"CNI_IFNAME=eth0", "CNI_PATH=/opt/cni/bin", "CNI_NETNS_OVERRIDE=1",
	}
	if s.id == "" {
		vars[1] = "CNI_CONTAINERID=c1"
	}
	for _, v := range s.env {
		name, _, set := strings.Cut(v, "=")
		kept := vars[:0]
		for _, old := range vars {
			if !strings.HasPrefix(old, name+"=") {
				kept = append(kept, old)
			}
		}
		if vars = kept; set {
			vars = append(vars, v)
		}
	}
	return vars
}

// run makes the call with dir as the data folder, and returns the answer without it.
func (s step) run(t *testing.T, binary, dir string) answer {
	t.Helper()
	a := call(t, dir, binary, s.environment(), strings.ReplaceAll(s.conf, "@DIR@", dir))
	a.stdout = strings.ReplaceAll(a.stdout, dir, "@DIR@")
	if s.verb == "ADD" && a.exit == 0 && !strings.Contains(s.conf, "@DIR@") {
		t.Fatalf("%s: an ADD without a data folder of the test's own left a lease on this machine", s.name)
	}
	return a
}

// compare runs the steps with both plugins, each with a data folder of its own that
// lasts for all of them.
func compare(t *testing.T, steps []step) {
	t.Helper()
	needHostLocal(t)
	oursDir, theirsDir := t.TempDir(), t.TempDir()
	for i, s := range steps {
		if s.name == "" {
			s.name = fmt.Sprintf("step %d: %s", i, s.verb)
		}
		theirs := s.run(t, hostLocal, theirsDir)
		ours := s.run(t, leaselog, oursDir)
		want := theirs
		if s.ours != nil {
			want = *s.ours
			if same := want.exit == theirs.exit && want.stdout == theirs.stdout; same {
				t.Errorf("%s: host-local gives the same answer: no difference to list", s.name)
			}
		}
		if s.code != 0 {
			if !strings.Contains(theirs.stdout, `"code": 999`) {
				t.Errorf("%s: host-local's answer has no code 999: %v", s.name, theirs)
			}
			want.stdout = strings.Replace(theirs.stdout, `"code": 999`, fmt.Sprintf(`"code": %d`, s.code), 1)
		}
		if ours.stdout != want.stdout || ours.exit != want.exit {
			t.Errorf("%s: got %v\nwant %v\nhost-local: %v\nstderr: %s", s.name, ours, want, theirs, ours.stderr)
		}
		if ours.exit == 0 && ours.stderr != "" && s.verb != "" {
			t.Errorf("%s: stderr of a successful call: %s", s.name, ours.stderr)
		}
	}
}

// failure returns the answer that is an error.
func failure(code int, msg string) *answer {
	quoted, _ := json.Marshal(msg) // as the CNI library escapes it; a string always fits
	return &answer{stdout: fmt.Sprintf("{\n    \"code\": %d,\n    \"msg\": %s\n}", code, quoted), exit: 1}
}

// success is the answer of a verb that has nothing to say.
func success() *answer { return &answer{} }
