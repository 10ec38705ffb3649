package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/leaselog/leaselog/allocator"
)

// check serves CHECK: the attachment holds an address, and each one that it holds is in
// prevResult. Further addresses there belong to other plugins of the chain.
func (c *call) check(args *skel.CmdArgs) error {
	conf, err := load(args.StdinData, args.Args)
	if err != nil {
		return err
	}
	expected, given, err := prevAddresses(args.StdinData)
	if err != nil {
		return err
	}
	held, err := c.store(conf.location, func() []allocator.RangeSet { return conf.sets }).Check(attachment(args))
	if errors.Is(err, allocator.ErrNoLease) {
		return types.NewError(codeLease, "host-local: Failed to find address added by container "+args.ContainerID, "")
	}
	if err != nil {
		return coded(err)
	}
	if !given {
		return nil
	}
	for _, lease := range held {
		if !slices.Contains(expected, lease.IP) {
			return types.NewError(codeLease, fmt.Sprintf("%s: held by %s/%s: not in prevResult",
				lease.IP, args.ContainerID, args.IfName), "")
		}
	}
	return nil
}

// prevAddresses returns the addresses in prevResult; given is false without one. From
// CNI 0.4.0 on, where CHECK begins, every version spells them alike.
func prevAddresses(stdin []byte) (ips []netip.Addr, given bool, err error) {
	var n struct {
		PrevResult json.RawMessage
	}
	if err := json.Unmarshal(stdin, &n); err != nil {
		return nil, false, invalid(err.Error())
	}
	if len(n.PrevResult) == 0 || string(n.PrevResult) == "null" {
		return nil, false, nil
	}
	var result struct {
		IPs []struct {
			Address types.IPNet
		}
	}
	if err := json.Unmarshal(n.PrevResult, &result); err != nil {
		return nil, false, invalid(fmt.Sprintf("prevResult: %v", err))
	}
	for _, entry := range result.IPs {
		ips = append(ips, addrOf(net.IP(entry.Address.IP)))
	}
	return ips, true, nil
}
