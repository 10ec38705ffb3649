package plugin

import (
	"encoding/json"
	"fmt"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/leaselog/leaselog/state"
)

// gc serves GC: whatever the runtime doesn't list is released.
func (c *call) gc(args *skel.CmdArgs) error {
	valid, told, err := validAttachments(args.StdinData)
	if err != nil || !told {
		return err
	}
	s, err := sketchOf(args.StdinData)
	if err != nil || s.impossible() {
		return err
	}
	store := c.store(s.location, rangesOf(args))
	err = store.GC(valid)
	c.settle(store, err)
	if err != nil {
		return coded(err)
	}
	return nil
}

// validAttachments returns the attachments that the runtime wants kept. told is false
// if it doesn't say: then nothing may be released, unlike for an empty list.
func validAttachments(stdin []byte) (valid []state.Attachment, told bool, err error) {
	var n struct {
		Valid json.RawMessage `json:"cni.dev/valid-attachments"`
		Older json.RawMessage `json:"cni.dev/attachments"` // the name that the specification had first
	}
	if err := json.Unmarshal(stdin, &n); err != nil {
		return nil, false, invalid(err.Error())
	}
	key, raw := "cni.dev/valid-attachments", n.Valid
	if len(raw) == 0 || string(raw) == "null" {
		key, raw = "cni.dev/attachments", n.Older
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil, false, nil
	}
	var listed []types.GCAttachment // a null leaves an entry without a container ID
	if err := json.Unmarshal(raw, &listed); err != nil {
		return nil, false, invalid(fmt.Sprintf("%s: %v", key, err))
	}
	valid = make([]state.Attachment, 0, len(listed))
	for i, a := range listed {
		if a.ContainerID == "" || a.IfName == "" {
			return nil, false, invalid(fmt.Sprintf("%s: entry %d: want containerID and ifname", key, i))
		}
		valid = append(valid, state.Attachment{ContainerID: a.ContainerID, IfName: a.IfName})
	}
	return valid, true, nil
}
