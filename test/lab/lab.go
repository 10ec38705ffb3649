package lab

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
)

// Lab makes hosts, which all are this process's.
type Lab struct {
	// BinDir holds cnitool, and the plugins of hosts that have no folder of their own for them.
	BinDir string
	// Missing says why no host can be made, "" if it can.
	Missing string

	runID string       // marks every namespace of this run, so that concurrent runs don't meet
	made  atomic.Int32 // namespaces
}

// New returns a lab after trying what hosts need.
func New() *Lab {
	b := make([]byte, 3)
	rand.Read(b) // never fails
	l := &Lab{runID: "ll" + hex.EncodeToString(b)}
	l.Missing = l.whatIsMissing()
	return l
}

// whatIsMissing tries what the tests need rather than guess from the user ID: root
// in a container often may not make namespaces.
func (l *Lab) whatIsMissing() string {
	switch {
	case runtime.GOOS != "linux":
		return "needs Linux: network namespaces are made"
	case os.Geteuid() != 0:
		return "needs root: network namespaces are made"
	}
	for _, command := range []string{"ip", "ping"} {
		if _, err := exec.LookPath(command); err != nil {
			return fmt.Sprintf("needs the %s command", command)
		}
	}
	probe := l.runID + "probe"
	if out, err := exec.Command("ip", "netns", "add", probe).CombinedOutput(); err != nil {
		return fmt.Sprintf("needs the right to make network namespaces: ip netns add: %s", firstLine(out))
	}
	// Entering one mounts things, which is a right of its own.
	out, err := exec.Command("ip", "netns", "exec", probe, "true").CombinedOutput()
	exec.Command("ip", "netns", "del", probe).Run()
	if err != nil {
		return fmt.Sprintf("needs the right to enter network namespaces: ip netns exec: %s", firstLine(out))
	}
	return ""
}

// Leftovers names the namespaces of this run that are still there.
func (l *Lab) Leftovers() string {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return fmt.Sprintf("not known: ip netns list: %v", err)
	}
	var left []string
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, l.runID) {
			left = append(left, strings.TrimSpace(line))
		}
	}
	return strings.Join(left, ", ")
}

func firstLine(out []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
	return string(line)
}
