package plugin

import (
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/leaselog/leaselog/allocator"
)

// status serves STATUS. It changes nothing and waits for nobody. A runtime takes the
// whole node out of service when it fails, so a mistake in the configuration, which
// fails every ADD anyway, doesn't count here.
func (c *call) status(args *skel.CmdArgs) error {
	s, err := sketchOf(args.StdinData)
	if err != nil {
		return notAvailable(err)
	}
	if err := checkNetworkName(s.network); err != nil {
		return notAvailable(err)
	}
	var sets []allocator.RangeSet
	if s.statusOnExhaustion {
		if sets, err = exhaustible(args.StdinData); err != nil {
			return notAvailable(err)
		}
	}
	if err := c.store(s.location, rangesOf(args)).Status(sets); err != nil {
		return notAvailable(err)
	}
	return nil
}

// exhaustible returns the range sets that STATUS is asked about; nil if all of them
// come with the calls.
func exhaustible(stdin []byte) ([]allocator.RangeSet, error) {
	n, err := decode(stdin)
	if err != nil {
		return nil, err
	}
	if len(n.RuntimeConfig.IPRanges) == 0 && n.IPAM.Subnet.IP == nil && len(n.IPAM.Ranges) == 0 {
		return nil, nil
	}
	return n.rangeSets()
}

// notAvailable returns the one code that STATUS has for the plugin's own troubles.
func notAvailable(err error) error {
	return types.NewError(types.ErrPluginNotAvailable, err.Error(), advice(err))
}
