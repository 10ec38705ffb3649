package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

func TestCodeOf(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want uint
	}{
		{"exhausted", &allocator.Refusal{Cause: allocator.ErrExhausted}, 100},
		{"duplicate", &allocator.Refusal{Cause: allocator.ErrDuplicate}, 101},
		{"not available", &allocator.Refusal{Cause: allocator.ErrNotAvailable}, 102},
		{"no lease", allocator.ErrNoLease, 103},
		{"locked", journal.ErrLocked, 11},
		{"replaced", journal.ErrReplaced, 11},
		{"long ID", allocator.ErrIDTooLong, 4},
		{"too large", allocator.ErrTooLarge, 7},
		{"too large for the journal", journal.ErrTooLarge, 7},
		{"fenced", journal.ErrFenced, 5},
		{"damage", &journal.CorruptionError{File: "f", Cause: journal.ErrTorn}, 5},
		{"foreign files", allocator.ErrForeign, 5},
		{"file system", fs.ErrPermission, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := fmt.Errorf("what was done: %w", test.err)
			got := failureOf(t, coded(err))
			if got.Code != test.want || got.Msg != err.Error() {
				t.Errorf("got %+v, want code %d and the whole text", got, test.want)
			}
		})
	}
}

func TestGuard(t *testing.T) {
	var stderr bytes.Buffer
	c := call{stderr: &stderr}
	err := c.guard(func(*skel.CmdArgs) error { panic("boom") })(nil)
	if got := failureOf(t, err); got.Code != 999 || got.Msg != "panic: boom" {
		t.Errorf("got %+v, want code 999 with the panic's words", got)
	}
	if !strings.Contains(stderr.String(), "leaselog: panic: boom\n") || !strings.Contains(stderr.String(), "TestGuard") {
		t.Errorf("stderr has no stack: %q", stderr.String())
	}
	want := errors.New("x")
	if got := c.guard(func(*skel.CmdArgs) error { return want })(nil); !errors.Is(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCheckNetNS(t *testing.T) {
	const own = "/proc/self/ns/net"
	for _, test := range []struct {
		name, path, override string
		refused              bool
	}{
		{"own", own, "", true},
		{"own, not overridden", own, "0", true},
		{"own, overridden", own, "1", false},
		{"own, overridden in words", own, "tRuE", false},
		{"no such path", "/no/such/netns", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := &skel.CmdArgs{Netns: test.path, NetnsOverride: test.override}
			err := checkNetNS(args)
			if !test.refused {
				if err != nil {
					t.Errorf("got %v, want nil", err)
				}
				if args.NetnsOverride != "1" && !strings.EqualFold(args.NetnsOverride, "true") {
					t.Error("the library would check again after the result is printed")
				}
				return
			}
			if got := failureOf(t, err); got.Code != 8 {
				t.Errorf("got %+v, want code 8", got)
			}
		})
	}
}

// upkeepFunc is a store whose upkeep is watched.
type upkeepFunc func()

func (f upkeepFunc) Maintain() { f() }

func TestMaintain(t *testing.T) {
	var stderr bytes.Buffer
	c := call{stderr: &stderr}
	c.maintain() // nothing was changed
	runs := 0
	c.changed = upkeepFunc(func() { runs++ })
	c.maintain()
	if runs != 1 || stderr.Len() > 0 {
		t.Errorf("got %d runs, stderr %q; want 1, nothing", runs, stderr.String())
	}
	c.changed = upkeepFunc(func() { panic("boom") })
	c.maintain()
	if !strings.HasPrefix(stderr.String(), "leaselog: maintenance: panic: boom\n") {
		t.Errorf("got stderr %q", stderr.String())
	}
}

func TestSettle(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"success", nil, true},
		{"refusal, which is recorded", fmt.Errorf("add: %w", &allocator.Refusal{Cause: allocator.ErrExhausted}), true},
		{"locked", journal.ErrLocked, false},
		{"damage", &journal.CorruptionError{Cause: journal.ErrTorn}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c call
			c.settle(&allocator.Store{}, test.err)
			if got := c.changed != nil; got != test.want {
				t.Errorf("upkeep: got %v, want %v", got, test.want)
			}
		})
	}
}

func TestValidAttachments(t *testing.T) {
	a, b := state.Attachment{ContainerID: "a", IfName: "eth0"}, state.Attachment{ContainerID: "b", IfName: "eth1"}
	for _, test := range []struct {
		name, keys string
		want       []state.Attachment
		told       bool
		msg        string
	}{
		{"no key", `"x":1`, nil, false, ""},
		{"null", `"cni.dev/valid-attachments":null`, nil, false, ""},
		{"empty", `"cni.dev/valid-attachments":[]`, nil, true, ""},
		{"list", `"cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"},{"containerid":"b","ifName":"eth1","x":1}]`, []state.Attachment{a, b}, true, ""},
		{"older key", `"cni.dev/attachments":[{"containerID":"a","ifname":"eth0"}]`, []state.Attachment{a}, true, ""},
		{"older key beside null", `"cni.dev/valid-attachments":null,"cni.dev/attachments":[]`, nil, true, ""},
		{"both keys", `"cni.dev/attachments":[],"cni.dev/valid-attachments":[{"containerID":"b","ifname":"eth1"}]`, []state.Attachment{b}, true, ""},
		{"null entry", `"cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"},null]`, nil, false, "cni.dev/valid-attachments: entry 1: want containerID and ifname"},
		{"no interface", `"cni.dev/attachments":[{"containerID":"a"}]`, nil, false, "cni.dev/attachments: entry 0: want containerID and ifname"},
		{"null interface", `"cni.dev/attachments":[{"containerID":"a","ifname":null}]`, nil, false, "cni.dev/attachments: entry 0: want containerID and ifname"},
		{"no container", `"cni.dev/attachments":[{"ifname":"eth0"}]`, nil, false, "cni.dev/attachments: entry 0: want containerID and ifname"},
		{"text", `"cni.dev/attachments":"all"`, nil, false, "cni.dev/attachments: json: cannot unmarshal string into Go value of type []types.GCAttachment"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, told, err := validAttachments([]byte(`{"name":"n",` + test.keys + `}`))
			if test.msg != "" {
				if e := failureOf(t, err); e.Code != 7 || e.Msg != test.msg {
					t.Errorf("got %+v, want code 7 %q", e, test.msg)
				}
				return
			}
			if err != nil || told != test.told || fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %v, %v, %v, want %v, %v", got, told, err, test.want, test.told)
			}
		})
	}
}

func TestPrevAddresses(t *testing.T) {
	for _, test := range []struct {
		name, keys, want string
		given            bool
		msg              string
	}{
		{"none", `"x":1`, "[]", false, ""},
		{"null", `"prevResult":null`, "[]", false, ""},
		{"without addresses", `"prevResult":{}`, "[]", true, ""},
		{"addresses", `"PREVRESULT":{"ips":[{"version":"4","address":"10.1.2.3/24"},{"address":"2001:db8::7/64","interface":0}]}`, "[10.1.2.3 2001:db8::7]", true, ""},
		{"null entry", `"prevResult":{"ips":[null]}`, "[invalid IP]", true, ""},
		{"bad address", `"prevResult":{"ips":[{"address":"foo"}]}`, "", false, "prevResult: invalid CIDR address: foo"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, given, err := prevAddresses([]byte(`{"name":"n",` + test.keys + `}`))
			if test.msg != "" {
				if e := failureOf(t, err); e.Code != 7 || e.Msg != test.msg {
					t.Errorf("got %+v, want code 7 %q", e, test.msg)
				}
				return
			}
			if err != nil || given != test.given || fmt.Sprint(got) != test.want {
				t.Errorf("got %v, %v, %v, want %v, %v", got, given, err, test.want, test.given)
			}
		})
	}
}
