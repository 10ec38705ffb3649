package plugin

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/leaselog/leaselog/journal"
)

// TestPrintResult compares with what host-local v1.9.1 printed for the same addresses.
// The files are its words, and are not made anew from ours.
func TestPrintResult(t *testing.T) {
	zero := 0
	four := journal.Address{IP: netip.MustParseAddr("10.1.2.2"), Bits: 24, Gateway: netip.MustParseAddr("10.1.2.1")}
	six := journal.Address{Set: 1, IP: netip.MustParseAddr("2001:db8::2"), Bits: 64, Gateway: netip.MustParseAddr("2001:db8::1")}
	route := func(dst, gw string) *types.Route {
		_, prefix, err := net.ParseCIDR(dst)
		if err != nil {
			t.Fatal(err)
		}
		return &types.Route{Dst: *prefix, GW: net.ParseIP(gw)}
	}
	detailed := route("192.168.0.0/16", "10.1.2.9")
	detailed.MTU, detailed.AdvMSS, detailed.Priority, detailed.Table, detailed.Scope = 1400, 1300, 5, &zero, &zero
	dns := types.DNS{Nameservers: []string{"1.1.1.1"}, Domain: "x", Search: []string{"a", "b"}, Options: []string{"ndots:1"}}
	for _, version := range []string{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		for _, test := range []struct {
			name      string
			addresses []journal.Address
			routes    []*types.Route
			dns       types.DNS
		}{
			{"bare", []journal.Address{four}, nil, types.DNS{}},
			{"full", []journal.Address{four, six}, []*types.Route{route("0.0.0.0/0", ""), route("::/0", ""), detailed}, dns},
		} {
			t.Run(test.name+" "+version, func(t *testing.T) {
				want, err := os.ReadFile(filepath.Join("testdata", "results", test.name+"-"+version+".json"))
				if err != nil {
					t.Fatal(err)
				}
				var got bytes.Buffer
				if err := printResult(&got, newResult(test.addresses, test.routes, test.dns), version); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.Bytes(), want) {
					t.Errorf("got %s\nwant %s", got.Bytes(), want)
				}
			})
		}
	}
}

func TestPrintResultErrors(t *testing.T) {
	r := newResult([]journal.Address{{IP: netip.MustParseAddr("10.1.2.2"), Bits: 24}}, nil, types.DNS{})
	if e := failureOf(t, printResult(&bytes.Buffer{}, r, "7.7.7")); e.Code != 5 {
		t.Errorf("got %+v, want code 5", e)
	}
	closed, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if e := failureOf(t, printResult(closed, r, "1.0.0")); e.Code != 5 {
		t.Errorf("closed output: got %+v, want code 5", e)
	}
}
