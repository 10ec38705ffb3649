package plugin

import (
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/leaselog/leaselog/journal"
)

// newResult returns what an ADD answers, in the newest form.
func newResult(addresses []journal.Address, routes []*types.Route, dns types.DNS) *types100.Result {
	r := &types100.Result{CNIVersion: types100.ImplementedSpecVersion, Routes: routes, DNS: dns}
	for _, a := range addresses {
		r.IPs = append(r.IPs, &types100.IPConfig{
			Address: net.IPNet{IP: ipOf(a.IP), Mask: net.CIDRMask(a.Bits, a.IP.BitLen())},
			Gateway: ipOf(a.Gateway),
		})
	}
	return r
}

// ipOf returns a in its family's own length; nil for the zero address.
func ipOf(a netip.Addr) net.IP { return a.AsSlice() }

// printResult writes r in the form of a cniVersion; the empty one is 0.1.0.
func printResult(w io.Writer, r *types100.Result, cniVersion string) error {
	converted, err := r.GetAsVersion(cniVersion)
	if err == nil {
		err = converted.PrintTo(w)
	}
	if err != nil {
		return coded(fmt.Errorf("print result: %w", err))
	}
	return nil
}
