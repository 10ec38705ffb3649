package process_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leaselog/leaselog/test/caller"
)

// The plugin's error codes that tests expect.
const (
	codeEnvironment  = 4
	codeStorage      = 5
	codeDecode       = 6
	codeConfig       = 7
	codeTryAgain     = 11
	codeUnavailable  = 50
	codeExhausted    = 100
	codeDuplicate    = 101
	codeNotAvailable = 102
	codeNoLease      = 103
)

// callLimit is how long any call may take before it counts as hanging.
const callLimit = 40 * time.Second

var (
	// leaselog is the built plugin.
	leaselog string
	// pinned is the plugin with its main goroutine bound to one thread: strace counts system calls by
	// thread, and so finds the one that it is to break.
	pinned string
	// epoch is what the times of calls are counted from.
	epoch = time.Now()
	// seed feeds every random choice; it is printed when a test fails.
	seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of random choices")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// On a disk, as stores are: in memory folders list their files in another order, and nothing waits for a sync. This is where temporary
	// files are that outlive a boot.
	if strings.HasPrefix(os.TempDir(), "/dev/shm") {
		if err := os.Setenv("TMPDIR", "/var/tmp"); err != nil {
			fmt.Fprintln(os.Stderr, "process:", err)
			return 1
		}
	}
	dir, err := os.MkdirTemp("", "leaselog-process-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "process:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "process:", err)
		return 1
	}
	return m.Run()
}

// build makes the plugin as it is released. Another user must be able to run it, too.
func build(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	root := filepath.Join("..", "..")
	var err error
	if leaselog, err = caller.Build(root, dir); err != nil {
		return err
	}
	pinned, err = caller.BuildPinned(root, filepath.Join(dir, "pinned"))
	return err
}

// random returns a source of choices whose seed is told if the test fails.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat the choices: -seed %d", *seed)
		}
	})
	return rand.New(rand.NewPCG(*seed, 0))
}

// network is a network that calls are made on, with a data folder of its own.
type network struct {
	name    string
	dataDir string
	subnet  string
	start   string         // "" is the subnet's first address
	end     string         // "" is the subnet's last
	ipam    map[string]any // more keys
}

// newNetwork returns a network without a store, with 10.1.0.2 to 10.1.3.254 to give.
func newNetwork(t *testing.T) network {
	t.Helper()
	return network{name: "pods", dataDir: filepath.Join(t.TempDir(), "networks"), subnet: "10.1.0.0/22"}
}

// storeDir is where the network's history is.
func (n network) storeDir() string { return filepath.Join(n.dataDir, ".leaselog", n.name) }

// folder is the network's own folder below dataDir.
func (n network) folder() string { return filepath.Join(n.dataDir, n.name) }

// conf returns the configuration as a runtime sends it.
func (n network) conf() string {
	set := map[string]any{"subnet": n.subnet}
	if n.start != "" {
		set["rangeStart"] = n.start
	}
	if n.end != "" {
		set["rangeEnd"] = n.end
	}
	ipam := map[string]any{"type": "leaselog", "dataDir": n.dataDir, "ranges": []any{[]any{set}}}
	for key, value := range n.ipam {
		ipam[key] = value
	}
	b, _ := json.Marshal(map[string]any{"cniVersion": "1.1.0", "name": n.name, "type": "bridge", "ipam": ipam})
	return string(b)
}

// call is one call of the plugin.
type call struct {
	verb  string
	id    string // container ID
	ip    string // requested address, "" for none
	netns string // "" is a path that doesn't exist
	conf  string
	env   []string            // more variables; they win over the usual
	under []string            // a command that runs the plugin, if not directly
	as    *syscall.Credential // another user to run as; nil is this one
	pin   bool                // run the plugin that stays on one thread
}

// environment is all that the plugin gets of ours.
func (c call) environment() []string {
	netns := c.netns
	if netns == "" {
		netns = "/no/such/netns"
	}
	env := []string{"CNI_COMMAND=" + c.verb, "CNI_CONTAINERID=" + c.id, "CNI_NETNS=" + netns,
		"CNI_IFNAME=eth0", "CNI_PATH=/opt/cni/bin", "CNI_NETNS_OVERRIDE=1"}
	if c.ip != "" {
		env = append(env, "CNI_ARGS=IgnoreUnknown=1;IP="+c.ip)
	}
	return append(env, c.env...)
}

// process is a call under way. It has read nothing until release: the plugin does nothing
// before its standard input ends.
type process struct {
	t              *testing.T
	call           call
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr bytes.Buffer
	called         time.Duration
	timer          *time.Timer
}

// start runs the plugin up to where it waits for its input. It returns nil, having failed the
// test, if it doesn't run. It may be called from any goroutine.
func start(t *testing.T, c call) *process {
	t.Helper()
	p := &process{t: t, call: c}
	argv := append(append([]string{}, c.under...), leaselog)
	if c.pin {
		argv[len(argv)-1] = pinned
	}
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Env = c.environment()
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	stdin, err := p.cmd.StdinPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Errorf("start %s %s: %v", c.verb, c.id, err)
		return nil
	}
	p.stdin = stdin
	p.timer = time.AfterFunc(callLimit, func() {
		t.Errorf("%s %.40s hangs: killed after %s", c.verb, c.id, callLimit)
		_ = p.cmd.Process.Kill()
	})
	return p
}

// release gives the plugin its input: from now on it acts.
func (p *process) release() {
	p.called = time.Since(epoch)
	// A plugin that ended early doesn't read; what it printed says why.
	_, _ = io.WriteString(p.stdin, p.call.conf)
	_ = p.stdin.Close()
}

// answer is what the caller of a call got to see.
type answer struct {
	call     call
	called   time.Duration // when the input was given, since epoch
	returned time.Duration // when the process had ended
	exit     int           // -1 if it was killed
	stdout   string
	stderr   string
	code     int          // of the error; 0 if there is none
	msg      string       // of the error, with its details
	ips      []netip.Addr // of an ADD
}

// ok reports whether the call succeeded.
func (a answer) ok() bool { return a.exit == 0 }

// killed reports whether the process was killed before it could answer.
func (a answer) killed() bool { return a.exit < 0 }

func (a answer) String() string {
	return fmt.Sprintf("%s %.60s: exit %d, stdout %.600s, stderr %.600s", a.call.verb, a.call.id, a.exit, a.stdout, a.stderr)
}

// wait returns the answer, and fails the test if it is not one that a runtime can read: nothing
// or one result on success, exactly one error otherwise.
func (p *process) wait() answer {
	p.t.Helper()
	err := p.cmd.Wait()
	a := answer{call: p.call, called: p.called, returned: time.Since(epoch),
		exit: p.cmd.ProcessState.ExitCode(), stdout: p.stdout.String(), stderr: p.stderr.String()}
	p.timer.Stop()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Errorf("%v: %v", a, err)
	}
	if strings.Contains(a.stderr, "panic:") || strings.Contains(a.stderr, "goroutine ") {
		p.t.Errorf("%v: a panic", a)
	}
	if err := a.parse(); err != nil && !a.killed() {
		p.t.Errorf("%v: %v", a, err)
	}
	return a
}

// parse reads standard output.
func (a *answer) parse() error {
	if a.exit == 0 && a.call.verb != "ADD" {
		if a.stdout != "" {
			return errors.New("a success that prints something")
		}
		return nil
	}
	var out struct {
		Code    int
		Msg     string
		Details string
		IPs     []struct{ Address netip.Prefix }
	}
	dec := json.NewDecoder(strings.NewReader(a.stdout))
	if err := dec.Decode(&out); err != nil {
		return fmt.Errorf("stdout: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("stdout: more than one answer")
	}
	a.code, a.msg = out.Code, strings.TrimSuffix(out.Msg+"; "+out.Details, "; ")
	for _, ip := range out.IPs {
		a.ips = append(a.ips, ip.Address.Addr())
	}
	switch {
	case a.exit == 0 && (a.code != 0 || len(a.ips) == 0):
		return errors.New("exit 0 without addresses")
	case a.exit != 0 && (a.exit != 1 || a.code == 0 || a.code == 999 || a.msg == ""):
		return errors.New("an error without exit 1, code or text")
	}
	return nil
}

// do makes a call and waits for its answer. It may be called from any goroutine.
func do(t *testing.T, c call) answer {
	t.Helper()
	p := start(t, c)
	if p == nil {
		return answer{call: c, exit: -1}
	}
	p.release()
	return p.wait()
}

// must makes a call that has to succeed.
func must(t *testing.T, c call) answer {
	t.Helper()
	a := do(t, c)
	if !a.ok() {
		t.Fatalf("%v: want success", a)
	}
	return a
}

// refused makes a call that has to fail with this code.
func refused(t *testing.T, c call, code int) answer {
	t.Helper()
	a := do(t, c)
	if a.code != code {
		t.Errorf("%v: want code %d", a, code)
	}
	return a
}

// add, del and check are the usual calls on a network.
func (n network) add(id string) call   { return call{verb: "ADD", id: id, conf: n.conf()} }
func (n network) del(id string) call   { return call{verb: "DEL", id: id, conf: n.conf()} }
func (n network) check(id string) call { return call{verb: "CHECK", id: id, conf: n.conf()} }

// status asks whether the network could serve an ADD.
func (n network) status() call { return call{verb: "STATUS", conf: n.conf()} }

// gc tells that no attachment is valid any more.
func (n network) gc() call {
	return call{verb: "GC", conf: strings.Replace(n.conf(), "{", `{"cni.dev/valid-attachments":[],`, 1)}
}

// atOnce starts all calls, and lets them go only when every process waits for its input. The
// answers are in the order of the calls.
func atOnce(t *testing.T, calls []call) []answer {
	t.Helper()
	processes := make([]*process, 0, len(calls))
	for _, c := range calls {
		if p := start(t, c); p != nil {
			processes = append(processes, p)
		}
	}
	answers := make([]answer, len(processes))
	var group sync.WaitGroup
	for i, p := range processes {
		group.Go(func() {
			p.release()
			answers[i] = p.wait()
		})
	}
	group.Wait()
	if len(processes) < len(calls) {
		t.Fatalf("%d of %d processes started", len(processes), len(calls))
	}
	return answers
}

// inParallel makes the calls in order, with this many processes at any time.
func inParallel(t *testing.T, workers int, calls []call) []answer {
	t.Helper()
	answers := make([]answer, len(calls))
	next := make(chan int)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for i := range next {
				answers[i] = do(t, calls[i])
			}
		})
	}
	for i := range calls {
		next <- i
	}
	close(next)
	group.Wait()
	return answers
}
