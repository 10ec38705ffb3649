package plugin

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	cniversion "github.com/containernetworking/cni/pkg/version"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/state"
)

// version is set by the linker: -X github.com/leaselog/leaselog/plugin.version=v1.2.3.
var version = "dev"

// Main serves one call of a CNI runtime: verb and attachment come from the environment,
// the configuration from standard input, and the answer goes to standard output. It
// exits with status 1 after printing an error.
func Main() {
	c := call{stdout: os.Stdout, stderr: os.Stderr, standIn: filepath.Base(os.Args[0]) == hostLocalName}
	failure := skel.PluginMainFuncsWithError(skel.CNIFuncs{
		Add:    c.guard(c.add),
		Del:    c.guard(c.del),
		Check:  c.guard(c.check),
		GC:     c.guard(c.gc),
		Status: c.guard(c.status),
	}, cniversion.All, "CNI leaselog plugin "+version)
	if failure != nil {
		if err := failure.Print(); err != nil {
			c.warn(fmt.Sprintf("print error %q: %v", failure.Msg, err))
		}
	}
	c.maintain()
	if failure != nil {
		os.Exit(1)
	}
}

// call is one run of the plugin.
type call struct {
	stdout, stderr io.Writer

	standIn bool // called by the name of host-local: what is not configured is as it is there

	// changed is the store that this call appended to, nil if there is none. Its upkeep
	// waits until the answer is out, so that nothing that happens in it can change the answer.
	changed interface{ Maintain() }
}

// guard returns verb with panics turned into errors: a runtime that finds nothing on
// standard output can't tell its user what happened.
func (c *call) guard(verb func(*skel.CmdArgs) error) func(*skel.CmdArgs) error {
	return func(args *skel.CmdArgs) (err error) {
		defer func() {
			if p := recover(); p != nil {
				c.warn(fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
				err = types.NewError(types.ErrInternal, fmt.Sprintf("panic: %v", p), "")
			}
		}()
		return verb(args)
	}
}

// maintain keeps the changed store in shape. The answer is already printed, so nothing
// that happens here can change it.
func (c *call) maintain() {
	defer func() {
		if p := recover(); p != nil {
			c.warn(fmt.Sprintf("maintenance: panic: %v\n%s", p, debug.Stack()))
		}
	}()
	if c.changed != nil {
		c.changed.Maintain()
	}
}

// warn prints words for people, apart from the answer.
func (c *call) warn(text string) {
	// Nobody is left to tell if standard error is gone.
	_, _ = fmt.Fprintf(c.stderr, "leaselog: %s\n", text)
}

// hostLocalName is the file name under which the plugin stands in for host-local.
const hostLocalName = "host-local"

// store returns the store at l. It touches no disk. Ranges are asked for where addresses of host-local are taken over.
func (c *call) store(l location, ranges func() []allocator.RangeSet) *allocator.Store {
	view := allocator.ViewKept
	switch {
	case l.hostLocalView == nil && c.standIn, l.hostLocalView != nil && *l.hostLocalView:
		view = allocator.ViewOn
	case l.hostLocalView != nil:
		view = allocator.ViewOff
	}
	return allocator.NewStore(allocator.Options{
		Network:        l.network,
		DataDir:        l.dataDir,
		HistoryDir:     l.historyDir,
		LockTimeout:    l.lockTimeout,
		AllowNetworkFS: l.allowNetworkFS,
		Version:        version,
		Warn:           c.warn,
		ImportFrom:     l.importFrom,
		View:           view,
		ReclaimOnBoot:  l.reclaimOnBoot == reclaimAuto || l.reclaimOnBoot == "" && !c.standIn,
		Ranges:         ranges,
	})
}

// rangesOf returns the range sets of a configuration that need not be valid; nil if it is not.
func rangesOf(args *skel.CmdArgs) func() []allocator.RangeSet {
	return func() []allocator.RangeSet {
		conf, err := load(args.StdinData, "")
		if err != nil {
			return nil
		}
		return conf.sets
	}
}

// settle notes what a mutating verb got from its store. A refused ADD is recorded too,
// so that the store needs upkeep as after a successful one; after any other error the
// store is left alone.
func (c *call) settle(s *allocator.Store, err error) {
	var refusal *allocator.Refusal
	if err == nil || errors.As(err, &refusal) {
		c.changed = s
	}
}

// attachment returns who the call is about.
func attachment(args *skel.CmdArgs) state.Attachment {
	return state.Attachment{ContainerID: args.ContainerID, IfName: args.IfName}
}
