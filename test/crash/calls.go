package crash

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/caller"
)

// inProcess makes the calls after the crash in this process, through package allocator.
type inProcess struct {
	rec   *recording
	store *allocator.Store
	texts []string
}

func newInProcess(rec *recording, root string) calls {
	c := &inProcess{rec: rec}
	c.store = allocator.NewStore(rec.options(root, func(text string) { c.texts = append(c.texts, text) }))
	return c
}

func (c *inProcess) warned() string { return strings.Join(c.texts, "\n") }

func (c *inProcess) add(id string) ([]netip.Addr, error) {
	choice, err := c.store.Add(c.rec.addRequest(id))
	if err == nil {
		c.store.Maintain()
	}
	return ipsOf(choice.Addresses), err
}

func (c *inProcess) del(owner state.Attachment) error {
	return c.store.Del(allocator.DelRequest{Owner: owner})
}

func (c *inProcess) check(owner state.Attachment, want []netip.Addr) error {
	leases, err := c.store.Check(owner)
	if err != nil && (len(want) > 0 || !errors.Is(err, allocator.ErrNoLease)) {
		return fmt.Errorf("CHECK of %s, which holds %v: %w", owner.ContainerID, want, err)
	}
	var got []netip.Addr
	for _, l := range leases {
		got = append(got, l.IP)
	}
	if !slices.Equal(sorted(got), sorted(want)) {
		return fmt.Errorf("CHECK of %s says %v, want %v", owner.ContainerID, got, want)
	}
	return nil
}

// byPlugin makes them with the built plugin, one process for each.
type byPlugin struct {
	plugin string
	net    caller.Network
	texts  string
}

func newByPlugin(rec *recording, plugin, root string) calls {
	c := &byPlugin{plugin: plugin, net: rec.net}
	c.net.DataDir = moved(rec.net.DataDir, rec.root, root)
	c.net.Keys = maps.Clone(rec.net.Keys)
	c.net.Keys["historyDir"] = moved(rec.historyDir(), rec.root, root)
	if from, ok := rec.net.Keys["importFrom"].(string); ok {
		c.net.Keys["importFrom"] = moved(from, rec.root, root)
	}
	return c
}

func (c *byPlugin) warned() string { return c.texts }

// call makes a call and returns an error for an answer other than success or the code wanted.
func (c *byPlugin) call(verb, id string, wanted int) (caller.Answer, error) {
	a, err := caller.Call{Network: c.net, Verb: verb, ID: id, NetNS: netNS(id)}.Run(c.plugin)
	if err == nil && a.Code != wanted {
		err = fmt.Errorf("%s %s: %v", verb, id, a)
	}
	c.texts += a.Stderr
	return a, err
}

func (c *byPlugin) add(id string) ([]netip.Addr, error) {
	a, err := c.call("ADD", id, 0)
	return a.IPs, err
}

func (c *byPlugin) del(owner state.Attachment) error {
	_, err := c.call("DEL", owner.ContainerID, 0)
	return err
}

// check can't see which addresses are held: without a previous result CHECK doesn't say.
func (c *byPlugin) check(owner state.Attachment, want []netip.Addr) error {
	const noLease = 103
	wanted := 0
	if len(want) == 0 {
		wanted = noLease
	}
	_, err := c.call("CHECK", owner.ContainerID, wanted)
	return err
}
