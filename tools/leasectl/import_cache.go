package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/internal/netns"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
	"github.com/leaselog/leaselog/state"
)

// cacheSource is the name of the cache in events.
const cacheSource = "cni-cache"

// cacheImport is one run of import cni-cache.
type cacheImport struct {
	dir         string
	dryRun      bool
	lockTimeout time.Duration
}

// cacheAsked is what import cni-cache was told to do.
type cacheAsked struct {
	scope
	Dir    string `json:"dir"`
	DryRun bool   `json:"dry_run"`
	At     string `json:"at"`
}

// annotationItem is a lease with what was added to it, or would be.
type annotationItem struct {
	Schema      string `json:"schema"`
	Network     string `json:"network"`
	IP          string `json:"ip"`
	Prefix      int    `json:"prefix"`
	ContainerID string `json:"container_id"`
	IfName      string `json:"ifname"`
	StartSeq    uint64 `json:"start_seq"`
	NetNS       string `json:"netns"`
	netnsItem
	Pod   podItem  `json:"pod"`
	Added []string `json:"added"` // netns, pod
	Done  bool     `json:"done"`
	File  string   `json:"file"`
}

func (a *app) importCacheCommand() *cobra.Command {
	o := &cacheImport{dir: defaultCacheDir}
	cmd := &cobra.Command{
		Use:   "cni-cache [DIR]",
		Short: "Add pods and network namespaces to leases from the CNI library's cache",
		Long: `Adds to held leases what the journal does not know of their owners and the CNI library's cache
of results does: the path of the network namespace, and the pod if the runtime is Kubernetes'. What
the journal knows is left as it is. DIR is the library's cache (/var/lib/cni), or the folder ` + resultsName + `
in it.

A result is about a lease of its network, container and interface, whose address it lists if it lists
any. A lease that was taken over without an interface name gets what the one result of its
container says. Each attachment gets an event of its own; the plugin may run meanwhile. A result that is
just being written can't be read for a moment: run it again.

Exit codes: 0 done, also if there was nothing to add; 4 error: the folder is missing, or results
can't be read, or a store is damaged, deleted or a copy, while the others are still dealt with; 64 usage.`,
		Example: "  leasectl import cni-cache --dry-run",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.dir = args[0]
			}
			switch {
			case o.dir == "":
				return usagef("the folder's name is empty")
			case o.lockTimeout <= 0:
				return usagef("--lock-timeout %s: want more than 0", o.lockTimeout)
			}
			return a.importCache(o)
		},
	}
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be added, change nothing")
	cmd.Flags().DurationVar(&o.lockTimeout, "lock-timeout", 30*time.Second, "how long to wait for calls of the plugin")
	return cmd
}

func (a *app) importCache(o *cacheImport) error {
	// The stores come first: a lease that is given after the cache was read may be another container's of the same name.
	stores, err := a.stores()
	if err != nil {
		return err
	}
	if len(stores) == 0 && !a.failed {
		return a.noStore()
	}
	cache, err := readCache(o.dir)
	if err != nil {
		return err
	}
	for _, err := range cache.broken {
		a.fail(fmt.Errorf("CNI cache: %w", err))
	}
	if cache.older > 0 {
		a.say("passed over %s of an older CNI library in %s: there is neither pod nor network namespace in such", count(cache.older, "result"), cache.dir)
	}
	ans := newAnswer("import", cacheAsked{a.scope(), cache.dir, o.dryRun, stamp(a.now)})
	var items []annotationItem
	for _, s := range stores {
		added, err := s.annotate(a, ans, cache, o)
		if err != nil {
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
		}
		items = append(items, added...)
	}
	verb := "annotated"
	if o.dryRun {
		verb = "would annotate"
	}
	a.say("%s %s from %s in %s; %d could not be read", verb, count(len(items), "lease"), count(len(cache.results), "result"),
		cache.dir, len(cache.broken))
	return show(a, ans, each(items), layout[annotationItem]{"annotations", annotationTable, annotationCSV})
}

// annotate adds what the cache knows to the store's leases.
func (s *store) annotate(a *app, ans *answer, cache *cniCache, o *cacheImport) ([]annotationItem, error) {
	if err := s.changeable(); err != nil {
		return nil, err
	}
	options, err := s.changing()
	if err != nil {
		return nil, err
	}
	// Damage is met wherever it is: what is held may rest on it.
	h, err := replay.Read(s.records(0), replay.Options{HeldOnly: true, Keep: func(*state.Lease) bool { return false }})
	if err == nil {
		err = h.Stopped
	}
	if err != nil {
		return nil, err
	}
	ans.take(s, h.First, h.Last)
	known, files := cache.about(s.network)
	options.LockTimeout = o.lockTimeout
	options.Warn = func(text string) { a.say("%s: %s", s.title(), text) }
	st := allocator.NewStore(options)
	added, err := st.Annotate(allocator.Annotations{Source: cacheSource, AsOf: s.reader.Coverage().Durable, Known: known}, o.dryRun)
	st.Maintain()
	var items []annotationItem
	for i := range added {
		one := &added[i]
		if one.TooLong {
			a.fail(fmt.Errorf("%s: %s: %s: there is no room for it in the lease", s.title(), one.Lease.IP, files[one.Known]))
			continue
		}
		items = append(items, s.annotation(one, files[one.Known], !o.dryRun))
	}
	return items, err
}

func (s *store) annotation(one *allocator.Annotated, file string, done bool) annotationItem {
	l := &one.Lease
	it := annotationItem{Schema: "leaselog.annotation/1", Network: s.network, IP: addrText(l.IP), Prefix: l.Bits, ContainerID: l.ContainerID,
		IfName: l.IfName, StartSeq: uint64(l.Start), NetNS: l.NetNS, netnsItem: newNetNS(l.NetNSID), Pod: podItem(l.Pod),
		Added: []string{}, Done: done, File: file}
	if one.NetNS {
		it.Added = append(it.Added, "netns")
	}
	if one.Pod {
		it.Added = append(it.Added, "pod")
	}
	return it
}

// cniCache is what could be read of the CNI library's cache.
type cniCache struct {
	dir     string
	results []cachedResult
	broken  []error // each names its file
	older   int     // results without what is looked for
}

// cachedResult is what one file says.
type cachedResult struct {
	file, network string
	allocator.Annotation
}

// maxResult is far more than any result takes, in bytes.
const maxResult = 4 << 20

// resultsName is the folder in the CNI library's cache that holds its results.
const resultsName = "results"

// cachedResults lists the files of the results, sorted by name. dir is the cache, or the folder in it.
func cachedResults(dir string) (folder string, entries []os.DirEntry, err error) {
	if filepath.Base(filepath.Clean(dir)) != resultsName {
		dir = filepath.Join(dir, resultsName)
	}
	entries, err = os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, fmt.Errorf("CNI cache: %w; want the folder that holds %q, or that itself", err, resultsName)
	}
	if err != nil {
		return "", nil, fmt.Errorf("CNI cache: %w", err)
	}
	return dir, entries, nil
}

// readCache reads the results in a cache's folder. What is wrong with one file leaves the others; one that is
// deleted meanwhile is not missed.
func readCache(dir string) (*cniCache, error) {
	dir, entries, err := cachedResults(dir)
	if err != nil {
		return nil, err
	}
	c := &cniCache{dir: dir}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		result, err := readResult(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, errOlderResult):
			c.older++
		case err != nil:
			c.broken = append(c.broken, err)
		default:
			c.results = append(c.results, result)
		}
	}
	c.settle()
	return c, nil
}

// settle removes results that contradict each other: the library has one for each attachment, under a name made of it.
func (c *cniCache) settle() {
	type place struct {
		network string
		state.Attachment
	}
	first := map[place]int{}
	bad := map[int]bool{}
	for i := range c.results {
		r := &c.results[i]
		at := place{r.network, r.Owner}
		j, seen := first[at]
		if !seen {
			first[at] = i
			continue
		}
		bad[i] = true // also one that says the same: once is enough
		if same := &c.results[j]; same.NetNS != r.NetNS || same.Pod != r.Pod || !slices.Equal(same.Addresses, r.Addresses) {
			bad[j] = true
			c.broken = append(c.broken, fmt.Errorf("%s and %s are about the same attachment and differ", same.file, r.file))
		}
	}
	var kept []cachedResult
	for i := range c.results {
		if !bad[i] {
			kept = append(kept, c.results[i])
		}
	}
	c.results = kept
}

// about returns what the cache knows of a network, and the file that says so. Which namespace a path leads to now is looked at
// here: a path that leads to this process's own tells nothing of a container.
func (c *cniCache) about(network string) (known []allocator.Annotation, files []string) {
	for _, r := range c.results {
		if r.network != network {
			continue
		}
		if sight, _ := netns.Look(r.NetNS, journal.NetNSID{}); sight == netns.Alive {
			r.NetNSID = netns.Identify(r.NetNS)
		}
		known, files = append(known, r.Annotation), append(files, r.file)
	}
	return known, files
}

// errOlderResult is of results that were written before the library kept more than what the plugin printed.
var errOlderResult = errors.New("result of an older CNI library")

// resultKind is what the library calls its files.
const resultKind = "cniCacheV1"

// resultFile is a file of the cache, as far as it matters here.
type resultFile struct {
	Kind        string      `json:"kind"`
	ContainerID string      `json:"containerId"`
	IfName      string      `json:"ifName"`
	NetworkName string      `json:"networkName"`
	NetNS       string      `json:"netns"`
	CNIArgs     [][2]string `json:"cniArgs"`
	Result      struct {
		IPs []struct {
			Address string `json:"address"`
		} `json:"ips"`
		IP4, IP6 struct { // before version 0.3.0 of the results
			IP string `json:"ip"`
		}
	} `json:"result"`
}

// readResult reads one file of the cache. The error names it.
func readResult(path string) (cachedResult, error) {
	b, err := readRegular(path, maxResult)
	if err != nil {
		return cachedResult{}, err
	}
	var f resultFile
	err = json.Unmarshal(b, &f)
	switch {
	case err != nil:
	case f.Kind == "" && f.ContainerID == "":
		return cachedResult{}, fmt.Errorf("%s: %w", path, errOlderResult)
	case f.Kind != resultKind:
		err = fmt.Errorf("kind %q, want %q", f.Kind, resultKind)
	case f.ContainerID == "" || f.NetworkName == "" || f.IfName == "":
		err = errors.New("names no container, network or interface")
	}
	r := cachedResult{file: path, network: f.NetworkName, Annotation: allocator.Annotation{
		Owner: state.Attachment{ContainerID: f.ContainerID, IfName: f.IfName}, NetNS: f.NetNS, Pod: podOf(f.CNIArgs)}}
	if err == nil {
		r.Addresses, err = f.addresses()
	}
	if err != nil {
		return cachedResult{}, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// addresses returns the addresses that the result lists.
func (f *resultFile) addresses() (ips []netip.Addr, err error) {
	texts := []string{f.Result.IP4.IP, f.Result.IP6.IP}
	for _, ip := range f.Result.IPs {
		texts = append(texts, ip.Address)
	}
	for _, text := range texts {
		if text == "" {
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("result: address %q: want one with a prefix length", text)
		}
		ips = append(ips, p.Addr().Unmap())
	}
	return ips, nil
}

// podOf returns the pod that arguments of the runtime name.
func podOf(args [][2]string) (pod journal.Pod) {
	for _, arg := range args {
		switch arg[0] {
		case "K8S_POD_NAMESPACE":
			pod.Namespace = arg[1]
		case "K8S_POD_NAME":
			pod.Name = arg[1]
		case "K8S_POD_UID":
			pod.UID = arg[1]
		}
	}
	return pod
}

// readRegular reads a file that is one, and no larger than it may be. Opening something else could wait for ever.
func readRegular(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		if _, there := os.Lstat(path); there == nil && errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s: a link to nothing", path)
		}
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: larger than %d bytes", path, limit)
	}
	return b, err
}

var annotationTable = []column[annotationItem]{
	{"network", func(it *annotationItem) string { return it.Network }},
	{"address", func(it *annotationItem) string { return it.IP + "/" + strconv.Itoa(it.Prefix) }},
	{"container", func(it *annotationItem) string { return shortID(it.ContainerID) }},
	{"ifname", func(it *annotationItem) string { return it.IfName }},
	{"pod", func(it *annotationItem) string { return it.Pod.String() }},
	{"netns", func(it *annotationItem) string { return it.NetNS }},
	{"added", func(it *annotationItem) string { return strings.Join(it.Added, " ") }},
}

// annotationCSV are the columns of an annotation; their order is fixed, new ones come last.
var annotationCSV = []column[annotationItem]{
	{"network", func(it *annotationItem) string { return it.Network }},
	{"ip", func(it *annotationItem) string { return it.IP }},
	{"prefix", func(it *annotationItem) string { return strconv.Itoa(it.Prefix) }},
	{"container_id", func(it *annotationItem) string { return it.ContainerID }},
	{"ifname", func(it *annotationItem) string { return it.IfName }},
	{"start_seq", func(it *annotationItem) string { return number(it.StartSeq) }},
	{"netns", func(it *annotationItem) string { return it.NetNS }},
	{"netns_inode", func(it *annotationItem) string { return number(it.Inode) }},
	{"netns_made", func(it *annotationItem) string { return it.Made }},
	{"pod_namespace", func(it *annotationItem) string { return it.Pod.Namespace }},
	{"pod_name", func(it *annotationItem) string { return it.Pod.Name }},
	{"pod_uid", func(it *annotationItem) string { return it.Pod.UID }},
	{"added", func(it *annotationItem) string { return strings.Join(it.Added, " ") }},
	{"done", func(it *annotationItem) string { return strconv.FormatBool(it.Done) }},
	{"file", func(it *annotationItem) string { return it.File }},
}
