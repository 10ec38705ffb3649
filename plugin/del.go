package plugin

import (
	"os"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/leaselog/leaselog/allocator"
)

// del serves DEL. It needs the attachment and the place of the store, nothing else.
func (c *call) del(args *skel.CmdArgs) error {
	s, err := sketchOf(args.StdinData)
	if err != nil {
		return err
	}
	if s.impossible() {
		return nil
	}
	store := c.store(s.location, rangesOf(args))
	if s.unreadable != nil {
		// The store may be elsewhere: with none in the default place, success would be a guess.
		found, err := store.Exists()
		if err != nil {
			return coded(err)
		}
		if !found {
			return unreadable(args.StdinData, s.unreadable)
		}
	}
	err = store.Del(allocator.DelRequest{
		Owner:       attachment(args),
		NetNS:       args.Netns,
		Pod:         podFromEnv(args.Args),
		TraceParent: os.Getenv("TRACEPARENT"),
	})
	c.settle(store, err)
	if err != nil {
		return coded(err)
	}
	return nil
}

// unreadable returns the error that ADD would give for the configuration.
func unreadable(stdin []byte, cause error) error {
	if _, err := decode(stdin); err != nil {
		return err
	}
	return invalid(cause.Error())
}
