package plugin

import (
	"net/netip"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/leaselog/leaselog/journal"
)

func TestRequestFromEnv(t *testing.T) {
	for _, test := range []struct {
		name, args, want, msg string
	}{
		{"none", "", "invalid IP", ""},
		{"empty", "IP=", "invalid IP", ""},
		{"IPv4", "IP=10.1.2.3", "10.1.2.3", ""},
		{"mapped", "IP=::ffff:10.1.2.3/128", "10.1.2.3", ""},
		{"IPv6 with length", "IP=2001:db8::7/64", "2001:db8::7", ""},
		{"last counts", "IP=10.1.2.3;IP=10.1.2.4", "10.1.2.4", ""},
		{"unknown ignored", "A=b;IgnoreUnknown=true;IP=10.1.2.3", "10.1.2.3", ""},
		{"unknown", "A=b;IP=10.1.2.3", "", `ARGS: unknown args ["A=b"]`},
		{"bad pair", "A=b=c", "", `ARGS: invalid pair "A=b=c"`},
		{"trailing semicolon", "IP=10.1.2.3;", "", `ARGS: invalid pair ""`},
		{"bad address", "IP=foo", "", `ARGS: error parsing value of pair "IP=foo": invalid IP address foo`},
		{"zone", "IP=fe80::1%eth0", "", `ARGS: error parsing value of pair "IP=fe80::1%eth0": invalid IP address fe80::1%eth0`},
		{"bad length", "IP=10.1.2.3/33", "", `ARGS: error parsing value of pair "IP=10.1.2.3/33": invalid IP address 10.1.2.3/33`},
		{"bad bool", "IgnoreUnknown=maybe", "", `ARGS: error parsing value of pair "IgnoreUnknown=maybe": boolean unmarshal error: invalid input maybe`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := requestFromEnv(test.args)
			if test.msg != "" {
				if e, want := failureOf(t, err), (types.Error{Code: 4, Msg: test.msg}); e != want {
					t.Errorf("got %+v, want %+v", e, want)
				}
				return
			}
			if err != nil || got.String() != test.want {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestPodFromEnv(t *testing.T) {
	full := journal.Pod{Namespace: "ns", Name: "web-1", UID: "1-2"}
	for _, test := range []struct {
		name, args string
		want       journal.Pod
	}{
		{"none", "", journal.Pod{}},
		{"as runtimes send it", "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web-1;K8S_POD_INFRA_CONTAINER_ID=c;K8S_POD_UID=1-2", full},
		{"not ignored, other order", "K8S_POD_UID=1-2;K8S_POD_NAME=web-1;K8S_POD_NAMESPACE=ns", full},
		{"beside broken pairs", ";=;a;b=c=d;K8S_POD_UID=1-2;K8S_POD_NAME=web-1;K8S_POD_NAMESPACE=ns;IP=foo;", full},
		{"small letters", "k8s_pod_name=web-1", journal.Pod{}},
		{"value with an equals sign", "K8S_POD_NAME=a=b", journal.Pod{Name: "a=b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := podFromEnv(test.args); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// FuzzArgs checks that no CNI_ARGS panics, and that an address that is taken can be
// written again as it was read.
func FuzzArgs(f *testing.F) {
	for _, seed := range []string{"", "IP=10.1.2.3", "IP=::1/64;IgnoreUnknown=1", "K8S_POD_NAME=x;=;;", "CommonArgs=1", "IP=::ffff:1.2.3.4", "ip=", "IgnoreUnknown=\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, args string) {
		_ = podFromEnv(args)
		ip, err := requestFromEnv(args)
		if err != nil {
			failureOf(t, err)
			return
		}
		if !ip.IsValid() {
			return
		}
		if ip.Is4In6() || ip.Zone() != "" {
			t.Errorf("got %s, which is not in its own form", ip)
		}
		again, err := requestFromEnv("IP=" + ip.String())
		if err != nil || again != ip {
			t.Errorf("%s: got %s, %v", netip.Addr(ip), again, err)
		}
	})
}
