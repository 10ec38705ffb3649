package plugin

import (
	"encoding/json"
	"errors"
)

// sketch is what the verbs that must not depend on a valid configuration read of it.
type sketch struct {
	location

	// unreadable is why the configuration doesn't say where the store is; the location
	// is the default then. Nil if it does say so, be it by leaving the keys out.
	unreadable error

	statusOnExhaustion bool
}

// sketchOf reads a configuration of which the CNI library has found that it is JSON and
// has a name. It looks at the keys named here and no others.
// The error is one of the working directory, not of the configuration.
func sketchOf(stdin []byte) (sketch, error) {
	var n struct {
		Name string
		IPAM *struct {
			DataDir            string
			HistoryDir         string
			LockTimeout        json.RawMessage
			StatusOnExhaustion json.RawMessage
			ImportFrom         json.RawMessage
			HostLocalView      json.RawMessage
			ReclaimOnBoot      json.RawMessage
			AllowNetworkFS     json.RawMessage
		}
	}
	var s sketch
	// A value of the wrong type doesn't keep the decoder from reading the others.
	s.unreadable = json.Unmarshal(stdin, &n)
	if n.IPAM == nil {
		s.unreadable = errors.New("no ipam")
	}
	if s.unreadable != nil {
		// Half a place is worse than none: a history without its data folder is a store
		// that was wiped, and serving the call there would end all of its leases.
		l, err := newLocation(n.Name, "", "", 0)
		s.location = l
		return s, err
	}
	timeout, err := parseLockTimeout(n.IPAM.LockTimeout)
	if err != nil {
		timeout = 0 // the default is as good as any for a call that has to be served
	}
	s.statusOnExhaustion = string(n.IPAM.StatusOnExhaustion) == "true"
	if s.location, err = newLocation(n.Name, n.IPAM.DataDir, n.IPAM.HistoryDir, timeout); err != nil {
		return s, err
	}
	var conf ipamConf
	conf.ImportFrom, _ = lenient[string](n.IPAM.ImportFrom)
	conf.HostLocalView, _ = lenient[*bool](n.IPAM.HostLocalView)
	conf.AllowNetworkFS, _ = lenient[bool](n.IPAM.AllowNetworkFS)
	reclaim, ok := lenient[string](n.IPAM.ReclaimOnBoot)
	if !ok || reclaim != reclaimAuto && reclaim != "" {
		reclaim = reclaimOff // also what it doesn't mean: the call is served, and nothing is released by guess
	}
	conf.ReclaimOnBoot = reclaim
	return s, s.coexist(&conf)
}

// lenient reads a key that a call can be served without: the zero value if it is not there, and, with false, if it is of
// another type.
func lenient[T any](raw json.RawMessage) (T, bool) {
	var v, none T
	if len(raw) > 0 && json.Unmarshal(raw, &v) != nil {
		return none, false
	}
	return v, true
}

// impossible reports whether no store can exist under the network's name.
func (s sketch) impossible() bool {
	return checkNetworkName(s.network) != nil
}
