package plugin

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/leaselog/leaselog/journal"
)

// address is a requested address as configurations and CNI_ARGS spell it: an address
// with or without a prefix length, which is thrown away. Zero if the text was empty.
type address struct {
	ip netip.Addr
}

// UnmarshalText reads "<ip>" or "<ip>/<prefix length>"; empty text is no address.
func (a *address) UnmarshalText(text []byte) error {
	*a = address{}
	if len(text) == 0 {
		return nil
	}
	s := string(text)
	ip := net.ParseIP(s)
	if strings.Contains(s, "/") {
		ip, _, _ = net.ParseCIDR(s) // nil if it is none
	}
	if ip == nil {
		return fmt.Errorf("invalid IP address %s", s)
	}
	a.ip = addrOf(ip)
	return nil
}

// envArgs are the keys of CNI_ARGS that the plugin takes. The CNI library finds them by
// the names of the fields, so any field added here is a key that no longer counts as unknown.
type envArgs struct {
	types.CommonArgs
	IP address
}

// requestFromEnv returns the address that CNI_ARGS asks for; zero if it asks for none.
func requestFromEnv(args string) (netip.Addr, error) {
	var e envArgs
	if err := types.LoadArgs(args, &e); err != nil {
		return netip.Addr{}, types.NewError(types.ErrInvalidEnvironmentVariables, err.Error(), "")
	}
	return e.IP.ip, nil
}

// podFromEnv returns who the container belongs to by the word of CNI_ARGS. It takes what
// it finds, whether or not the rest is well-formed: a DEL with broken arguments releases too.
func podFromEnv(args string) journal.Pod {
	var p journal.Pod
	for pair := range strings.SplitSeq(args, ";") {
		key, value, _ := strings.Cut(pair, "=")
		switch key {
		case "K8S_POD_NAMESPACE":
			p.Namespace = value
		case "K8S_POD_NAME":
			p.Name = value
		case "K8S_POD_UID":
			p.UID = value
		}
	}
	return p
}
