package plugin

import (
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/ns"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/internal/netns"
)

// add serves ADD: everything that can be refused without the store is refused before
// the disk is touched, and the result is printed only once its event is durable.
func (c *call) add(args *skel.CmdArgs) error {
	conf, err := load(args.StdinData, args.Args)
	if err != nil {
		return err
	}
	dns, err := readResolvConf(conf.resolvConf)
	if err != nil {
		return coded(err)
	}
	if err := checkNetNS(args); err != nil {
		return err
	}
	store := c.store(conf.location, func() []allocator.RangeSet { return conf.sets })
	choice, err := store.Add(allocator.AddRequest{
		Request: allocator.Request{
			Owner: attachment(args),
			Sets:  conf.sets,
			IPs:   conf.requests,
		},
		CallSets:    conf.callSets,
		NetNS:       args.Netns,
		NetNSID:     netns.Identify(args.Netns),
		Pod:         podFromEnv(args.Args),
		TraceParent: os.Getenv("TRACEPARENT"),
	})
	c.settle(store, err)
	if err != nil {
		return coded(err)
	}
	return printResult(c.stdout, newResult(choice.Addresses, conf.routes, dns), conf.cniVersion)
}

// checkNetNS refuses a container that is in the plugin's own network namespace, unless
// the runtime says that this is meant. A path that can't be opened passes, as it does
// in the CNI library.
func checkNetNS(args *skel.CmdArgs) error {
	if strings.EqualFold(args.NetnsOverride, "true") || args.NetnsOverride == "1" {
		return nil
	}
	same, failure := ns.CheckNetNS(args.Netns)
	if failure != nil {
		return failure
	}
	if same {
		return types.NewError(types.ErrInvalidNetNS, "plugin's netns and netns from CNI_NETNS should not be the same", "")
	}
	// The library checks once more after the ADD, when an address is taken and a result
	// printed: that must not end in an error any more.
	args.NetnsOverride = "1"
	return nil
}
