package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	cniversion "github.com/containernetworking/cni/pkg/version"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
)

const (
	defaultDataDir  = "/var/lib/cni/networks"
	maxNetworkBytes = 255 // the longest name that a folder can have

	// maxRanges bounds the work of comparing every range with every other, which
	// megabytes of configuration would turn into minutes.
	maxRanges = 4096
)

// netConf is a network configuration as JSON holds it: the interface plugin's, of which
// the part named ipam is ours. Its shape is host-local's, because the texts of JSON
// errors spell the shape out; hostLocalNames puts back the names.
type netConf struct {
	Name          string    `json:"name"`
	CNIVersion    string    `json:"cniVersion"`
	IPAM          *ipamConf `json:"ipam"`
	RuntimeConfig struct {
		IPRanges []rangeSetConf `json:"ipRanges,omitempty"`
		IPs      []*address     `json:"ips,omitempty"`
	} `json:"runtimeConfig,omitempty"`
	Args *struct {
		A *argsConf `json:"cni"`
	} `json:"args"`
}

// ipamConf is the part named ipam. The embedded range is the old way to give a single one.
type ipamConf struct {
	rangeConf
	Name       string         // decoded like any other, then not used
	Type       string         `json:"type"`
	Routes     []*types.Route `json:"routes"`
	DataDir    string         `json:"dataDir"`
	ResolvConf string         `json:"resolvConf"`
	Ranges     []rangeSetConf `json:"ranges"`

	HistoryDir         string          `json:"historyDir"`
	LockTimeout        json.RawMessage `json:"lockTimeout"`
	StatusOnExhaustion bool            `json:"statusOnExhaustion"`
	AllowNetworkFS     bool            `json:"allowNetworkFS"`
	ImportFrom         string          `json:"importFrom"`
	HostLocalView      *bool           `json:"hostLocalView"`
	ReclaimOnBoot      string          `json:"reclaimOnBoot"`
	Retention          json.RawMessage `json:"retention"` // for leasectl compact
}

type argsConf struct {
	IPs []*address `json:"ips"`
}

type rangeSetConf []rangeConf

type rangeConf struct {
	RangeStart net.IP      `json:"rangeStart,omitempty"`
	RangeEnd   net.IP      `json:"rangeEnd,omitempty"`
	Subnet     types.IPNet `json:"subnet"`
	Gateway    net.IP      `json:"gateway,omitempty"`
}

// config is a configuration that an ADD can be served from.
type config struct {
	location
	cniVersion string
	resolvConf string
	sets       []allocator.RangeSet // canonical
	callSets   int                  // how many leading sets came with the call
	requests   []netip.Addr         // in the order of their sources, none twice
	routes     []*types.Route       // without nil
}

// location is where a network's store is, how long to wait for it, and how it gets on with others.
type location struct {
	network             string
	dataDir, historyDir string        // absolute; historyDir may be empty for the default
	lockTimeout         time.Duration // 0 for the default
	allowNetworkFS      bool
	importFrom          string // absolute, or empty
	hostLocalView       *bool  // nil for the default
	reclaimOnBoot       string // "auto", "off", or "" for the default
}

// The values of reclaimOnBoot.
const (
	reclaimAuto = "auto"
	reclaimOff  = "off"
)

// load reads and checks what ADD and CHECK need. Host-local's checks come first, in its
// order, then those of the keys that only leaselog knows.
func load(stdin []byte, args string) (config, error) {
	n, err := decode(stdin)
	if err != nil {
		return config{}, err
	}
	requests, err := n.requests(args)
	if err != nil {
		return config{}, err
	}
	sets, err := n.rangeSets()
	if err != nil {
		return config{}, err
	}
	if i := slices.Index(n.IPAM.Routes, nil); i >= 0 {
		return config{}, invalid(fmt.Sprintf("route %d is null", i))
	}
	if err := checkNetworkName(n.Name); err != nil {
		return config{}, err
	}
	timeout, err := parseLockTimeout(n.IPAM.LockTimeout)
	if err != nil {
		return config{}, err
	}
	l, err := newLocation(n.Name, n.IPAM.DataDir, n.IPAM.HistoryDir, timeout)
	if err != nil {
		return config{}, err
	}
	if err := l.coexist(n.IPAM); err != nil {
		return config{}, err
	}
	if err := checkRetention(n.IPAM.Retention); err != nil {
		return config{}, err
	}
	if l.historyDir == l.dataDir {
		return config{}, invalid(fmt.Sprintf("ipam.historyDir %s is ipam.dataDir: each network has a folder in both", l.historyDir))
	}
	return config{
		location:   l,
		cniVersion: n.CNIVersion,
		resolvConf: n.IPAM.ResolvConf,
		sets:       sets,
		callSets:   len(n.RuntimeConfig.IPRanges),
		requests:   requests,
		routes:     n.IPAM.Routes,
	}, nil
}

// coexist takes in the keys about host-local, and about what is not there any more.
func (l *location) coexist(conf *ipamConf) error {
	if r := conf.ReclaimOnBoot; r != "" && r != reclaimAuto && r != reclaimOff {
		return invalid(fmt.Sprintf("reclaimOnBoot %.64q: want %q or %q", r, reclaimAuto, reclaimOff))
	}
	l.allowNetworkFS, l.hostLocalView, l.reclaimOnBoot = conf.AllowNetworkFS, conf.HostLocalView, conf.ReclaimOnBoot
	if conf.ImportFrom == "" {
		return nil
	}
	from, err := filepath.Abs(conf.ImportFrom)
	if err != nil {
		return coded(err)
	}
	l.importFrom = from
	return nil
}

// decode reads a configuration whose JSON fits and which has a part for us.
func decode(stdin []byte) (netConf, error) {
	var n netConf
	if err := json.Unmarshal(stdin, &n); err != nil {
		return netConf{}, invalid(hostLocalText(err))
	}
	if n.IPAM == nil {
		return netConf{}, invalid("IPAM config missing 'ipam' key")
	}
	return n, nil
}

// hostLocalText returns the text of a JSON error with host-local's names for our types.
func hostLocalText(err error) string {
	var typeError *json.UnmarshalTypeError
	if !errors.As(err, &typeError) {
		return err.Error() // holds the user's text, which is not to be touched
	}
	return strings.NewReplacer(
		"netConf.", "Net.",
		"plugin.netConf", "allocator.Net",
		"plugin.ipamConf", "allocator.IPAMConfig",
		"ipamConf.", "IPAMConfig.",
		"plugin.argsConf", "allocator.IPAMArgs",
		"argsConf.", "IPAMArgs.",
		"plugin.rangeSetConf", "allocator.RangeSet",
		"plugin.rangeConf", "allocator.Range",
		"rangeConf.", "Range.",
		"plugin.address", "ip.IP",
	).Replace(err.Error())
}

// requests returns the addresses asked for, from CNI_ARGS and both places in n.
func (n *netConf) requests(args string) ([]netip.Addr, error) {
	var asked []netip.Addr
	ip, err := requestFromEnv(args)
	if err != nil {
		return nil, err
	}
	if ip.IsValid() {
		asked = append(asked, ip)
	}
	var listed []*address
	if n.Args != nil && n.Args.A != nil {
		listed = append(listed, n.Args.A.IPs...)
	}
	listed = append(listed, n.RuntimeConfig.IPs...)
	for _, a := range listed {
		if a == nil || !a.ip.IsValid() {
			return nil, invalid("cannot understand ip: IP <nil> not v4 nor v6")
		}
		if !slices.Contains(asked, a.ip) {
			asked = append(asked, a.ip)
		}
	}
	return asked, nil
}

// rangeSets returns the canonical range sets: those that came with the call, then the
// old single range, then the list.
func (n *netConf) rangeSets() ([]allocator.RangeSet, error) {
	confs := slices.Clone(n.RuntimeConfig.IPRanges)
	if n.IPAM.Subnet.IP != nil {
		confs = append(confs, rangeSetConf{n.IPAM.rangeConf})
	}
	confs = append(confs, n.IPAM.Ranges...)
	if len(confs) == 0 {
		return nil, invalid("no IP ranges specified")
	}
	var sets []allocator.RangeSet
	total := 0
	for _, conf := range confs {
		set := make(allocator.RangeSet, 0, len(conf))
		for _, r := range conf {
			set = append(set, r.parse())
		}
		sets = append(sets, set)
		total += max(len(set), 1)
	}
	if total > maxRanges {
		return nil, invalid(fmt.Sprintf("%d ranges are more than %d", total, maxRanges))
	}
	sets, err := allocator.Canonical(sets)
	if err != nil {
		return nil, invalid(err.Error())
	}
	if err := n.checkFamilies(sets); err != nil {
		return nil, err
	}
	if err := allocator.CheckOverlap(sets); err != nil {
		return nil, invalid(err.Error())
	}
	return sets, nil
}

// checkFamilies refuses what a result before CNI 0.3.0 has no place for.
func (n *netConf) checkFamilies(sets []allocator.RangeSet) error {
	if ok, err := cniversion.GreaterThanOrEqualTo(n.CNIVersion, "0.3.0"); err == nil && ok {
		return nil
	}
	four := 0
	for _, s := range sets {
		if s.Is4() {
			four++
		}
	}
	if four > 1 || len(sets)-four > 1 {
		return invalid(fmt.Sprintf("CNI version %s does not support more than 1 address per family", n.CNIVersion))
	}
	return nil
}

// parse returns the range with absent parts zero. An IPv4-mapped IPv6 subnet keeps its
// form, so that package allocator can refuse it; single addresses lose it.
func (r rangeConf) parse() allocator.Range {
	parsed := allocator.Range{Start: addrOf(r.RangeStart), End: addrOf(r.RangeEnd), Gateway: addrOf(r.Gateway)}
	if ip, ok := netip.AddrFromSlice(r.Subnet.IP); ok {
		ones, bits := r.Subnet.Mask.Size()
		if bits == 32 {
			ip = ip.Unmap()
		}
		parsed.Subnet = netip.PrefixFrom(ip, ones)
	}
	return parsed
}

// addrOf returns ip, IPv4 in its own form; zero for nil.
func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// checkNetworkName refuses a name that no folder can have; its characters have been
// checked by the CNI library.
func checkNetworkName(name string) error {
	if len(name) > maxNetworkBytes {
		return invalid(fmt.Sprintf("network name is %d bytes long; at most %d fit a file name", len(name), maxNetworkBytes))
	}
	return nil
}

// parseLockTimeout reads duration text or a number of seconds; 0 if there is neither.
func parseLockTimeout(raw json.RawMessage) (time.Duration, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return 0, nil
	}
	var d time.Duration
	var text string
	if json.Unmarshal(raw, &text) == nil {
		d, _ = time.ParseDuration(text) // 0 if it is none
	} else if seconds, err := strconv.ParseFloat(string(raw), 64); err == nil && seconds < math.MaxInt64/1e9 {
		d = time.Duration(seconds * float64(time.Second))
	}
	if d <= 0 {
		return 0, invalid(fmt.Sprintf("lockTimeout %.64s: want a duration like \"30s\" or a number of seconds, above 0", raw))
	}
	return d, nil
}

// checkRetention refuses what leasectl could not make sense of, long before it would have to.
func checkRetention(raw json.RawMessage) error {
	if len(raw) == 0 {
		return nil
	}
	var r journal.Retention
	if err := json.Unmarshal(raw, &r); err != nil {
		return invalid(fmt.Sprintf("retention: %.512s", err))
	}
	return nil
}

// newLocation returns the location with its defaults and absolute paths. The paths are
// relative to the working directory, as host-local's are.
func newLocation(network, dataDir, historyDir string, timeout time.Duration) (location, error) {
	l := location{network: network, lockTimeout: timeout}
	if dataDir == "" {
		dataDir = defaultDataDir
	}
	var err error
	if l.dataDir, err = filepath.Abs(dataDir); err != nil {
		return location{}, coded(err)
	}
	if historyDir == "" {
		return l, nil
	}
	if l.historyDir, err = filepath.Abs(historyDir); err != nil {
		return location{}, coded(err)
	}
	return l, nil
}
