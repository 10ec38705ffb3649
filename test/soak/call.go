package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/caller"
)

// The versions that events name: of calls in this process, and of the built plugin.
const (
	versionHere  = "soak"
	versionBuilt = "dev"
)

// call is one call of a verb and what became of it.
type call struct {
	verb   string
	who    owner
	plan   plan
	wanted []netip.Addr
	netns  string // each call's own, so that its events can be told
	pod    journal.Pod
	valid  []owner // GC
	full   bool    // STATUS asks for exhaustion
	lazy   bool    // ends without upkeep, as one that is killed after its answer

	version string
	clock   journal.Clock
	base    journal.Seq // what the newest snapshot covered when it began
	exact   bool        // nothing ran beside it, so that all of it can be told in advance

	answered bool // false: killed, nobody knows what it did
	code     int
	ips      []netip.Addr
	text     string
	leases   []state.Lease // CHECK in this process
	process  bool
}

func (c *call) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.verb, c.who)
	switch c.verb {
	case "ADD", "STATUS":
		fmt.Fprintf(&b, " %s %v", c.plan.name, c.wanted)
	case "GC":
		fmt.Fprintf(&b, " keep %v", c.valid)
	}
	if c.process {
		b.WriteString(" (process)")
	}
	if !c.answered {
		return b.String() + ": killed"
	}
	fmt.Fprintf(&b, ": %d %v", c.code, c.ips)
	return b.String()
}

// locks reports whether the call takes the lock of an existing store.
func (c *call) locks() bool { return c.verb == "ADD" || c.verb == "DEL" || c.verb == "GC" }

// inProcess makes the call through allocator.Store. The error is an answer that no call may get here.
func (c *call) inProcess(network caller.Network) error {
	var warnings []string
	c.version, c.answered = versionHere, true
	s := allocator.NewStore(allocator.Options{Network: network.Name, DataDir: network.DataDir, Version: c.version,
		Warn: func(text string) { warnings = append(warnings, text) }})
	err := c.ask(s)
	var refusal *allocator.Refusal
	switch {
	case errors.As(err, &refusal):
		c.code, c.text = refusal.Code(), refusal.Error()
		err = nil
	case errors.Is(err, allocator.ErrNoLease):
		c.code, err = codeNoLease, nil
	}
	if err != nil {
		return fmt.Errorf("%v: %w", c, err)
	}
	if !c.lazy {
		s.Maintain()
	}
	if len(warnings) > 0 {
		return fmt.Errorf("%v: warned of %q", c, warnings)
	}
	return nil
}

func (c *call) ask(s *allocator.Store) error {
	attachment := state.Attachment{ContainerID: c.who.id, IfName: c.who.ifName}
	sets, err := c.plan.request()
	if err != nil {
		return err
	}
	switch c.verb {
	case "ADD":
		choice, err := s.Add(allocator.AddRequest{Request: allocator.Request{Owner: attachment, Sets: sets, IPs: c.wanted},
			CallSets: c.plan.own, NetNS: c.netns, Pod: c.pod})
		for _, a := range choice.Addresses {
			c.ips = append(c.ips, a.IP)
		}
		return err
	case "DEL":
		return s.Del(allocator.DelRequest{Owner: attachment, NetNS: c.netns, Pod: c.pod})
	case "GC":
		var valid []state.Attachment
		for _, v := range c.valid {
			valid = append(valid, state.Attachment{ContainerID: v.id, IfName: v.ifName})
		}
		return s.GC(valid)
	case "CHECK":
		c.leases, err = s.Check(attachment)
		return err
	case "STATUS":
		if !c.full {
			sets = nil
		}
		return s.Status(sets)
	}
	panic("soak: verb " + c.verb)
}

// asProcess turns the call into one that a process of the plugin can be asked for.
func (c *call) asProcess() {
	c.process, c.version = true, versionBuilt
	c.plan.own = 0
	c.wanted = c.wanted[:min(len(c.wanted), 1)]
}

// command returns the call as a runtime makes it.
func (c *call) command(network caller.Network, env ...string) caller.Call {
	network.Ranges = c.plan.config()
	network.Keys = map[string]any{"statusOnExhaustion": c.full, "reclaimOnBoot": "off"}
	args := "IgnoreUnknown=1"
	for _, ip := range c.wanted {
		args += ";IP=" + ip.String()
	}
	if c.pod.Name != "" {
		args += ";K8S_POD_NAMESPACE=" + c.pod.Namespace + ";K8S_POD_NAME=" + c.pod.Name
	}
	if c.pod.UID != "" {
		args += ";K8S_POD_UID=" + c.pod.UID
	}
	valid := []caller.Attachment{}
	for _, v := range c.valid {
		valid = append(valid, caller.Attachment{ContainerID: v.id, IfName: v.ifName})
	}
	if c.verb != "GC" {
		valid = nil
	}
	return caller.Call{Network: network, Verb: c.verb, ID: c.who.id, IfName: c.who.ifName, NetNS: c.netns,
		Args: args, Valid: valid, Env: env}
}

// job is a call that runs as a process, and when that is killed: after so long, and if growing is
// set, counted from when that file got longer or another one took its place.
type job struct {
	*call
	kill    bool
	after   time.Duration
	growing string
}

// sideBySide runs processes of the plugin at once. It returns how long the quickest took that was not killed.
func (w *world) sideBySide(jobs []job) (time.Duration, error) {
	var group sync.WaitGroup
	errs := make([]error, len(jobs))
	took := make([]time.Duration, len(jobs))
	for i, j := range jobs {
		group.Go(func() { took[i], errs[i] = j.run(w.plugin, w.network, clockVariable+"="+w.clock.path) })
	}
	group.Wait()
	var quickest time.Duration
	for i, j := range jobs {
		if j.answered && !j.kill && (quickest == 0 || took[i] < quickest) {
			quickest = took[i]
		}
	}
	return quickest, errors.Join(errs...)
}

func (j job) run(plugin string, network caller.Network, env string) (time.Duration, error) {
	request := j.command(network, env)
	cmd := request.Command(plugin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // who interrupts soak must not interrupt a call
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	killer := make(chan struct{})
	go func() {
		defer close(killer)
		if j.kill {
			j.await(ended)
			_ = cmd.Process.Kill() // it may have ended
		}
	}()
	_ = cmd.Wait() // the state says how it ended
	close(ended)
	<-killer
	took := time.Since(start)
	exit := cmd.ProcessState.ExitCode()
	if exit < 0 && !j.kill {
		return took, fmt.Errorf("%v: ended by %v", j.call, cmd.ProcessState)
	}
	if exit < 0 && stdout.Len() > 0 {
		exit = 1 // killed, but its answer was out: that counts
		if strings.Contains(stdout.String(), `"ips"`) {
			exit = 0
		}
	}
	answer, err := request.Read(exit, stdout.String(), stderr.String())
	if err != nil || answer.Killed() {
		return took, err
	}
	j.answered, j.code, j.ips, j.text = true, answer.Code, answer.IPs, answer.Text
	return took, j.judge(answer)
}

// await returns when the process is to be killed, or has ended.
func (j job) await(ended <-chan struct{}) {
	if j.growing != "" {
		before, _ := os.Stat(j.growing)
		for grown := false; !grown; {
			select {
			case <-ended:
				return
			default:
				now, err := os.Stat(j.growing)
				grown = err != nil || before == nil || now.Size() != before.Size()
			}
		}
	}
	select {
	case <-ended:
	case <-time.After(j.after):
	}
}

// judge refuses answers that no call may get here. A process may warn that it left the snapshot
// to others because the lock was taken.
func (j job) judge(answer caller.Answer) error {
	legal := map[string][]int{"ADD": {codeExhausted, codeDuplicate, codeNotAvailable}, "CHECK": {codeNoLease}, "STATUS": {codeUnavailable}}
	if j.code != 0 && !slices.Contains(legal[j.verb], j.code) {
		return fmt.Errorf("%v: %v", j.call, answer)
	}
	for line := range strings.Lines(answer.Stderr) {
		if !strings.Contains(line, journal.ErrLocked.Error()) {
			return fmt.Errorf("%v: warned of %q", j.call, line)
		}
	}
	return nil
}
