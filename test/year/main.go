package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/test/caller"
)

// options are the command line.
type options struct {
	events, days, leases, calls int
	seed                        int
	source, out                 string
}

func main() {
	var o options
	flag.IntVar(&o.events, "events", 15_000_000, "events of the year")
	flag.IntVar(&o.days, "days", 365, "days that they span; leasectl compact runs after each")
	flag.IntVar(&o.leases, "leases", 250, "leases held at the end")
	flag.IntVar(&o.calls, "calls", 200, "ADDs that are timed on each store")
	flag.IntVar(&o.seed, "seed", 1, "of leasegen")
	flag.StringVar(&o.source, "source", "", "`folder` that leasegen has made with network year and --snapshots 0; its segments are moved away (default: make one)")
	flag.StringVar(&o.out, "out", filepath.Join("docs", "bench", "year.md"), "`file` for the report")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "year:", err)
		os.Exit(1)
	}
}

// day is what one run of leasectl compact took.
type day struct {
	wall, cpu time.Duration
	peak      int64 // bytes
}

// year is one run of this program.
type year struct {
	options
	dir      string // for temporary files
	plugin   string
	leasectl string
	source   string          // the store that leasegen made
	network  caller.Network  // that is filled
	days     []day           // in order
	sizes    map[int]sizes   // after some of the days, from 1 on
	times    []time.Duration // of ADDs: on the first day's store
	last     []time.Duration // and on the last day's, call by call in turns
}

// sizes are what a store takes, in bytes of files.
type sizes struct {
	journal, snap, archive int64
	files                  int // in the archive
}

func run(o options) (err error) {
	dir, err := os.MkdirTemp("", "leaselog-year-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	y := &year{options: o, dir: dir, sizes: make(map[int]sizes)}
	if err := y.prepare(); err != nil {
		return err
	}
	if err := y.live(); err != nil {
		return err
	}
	if err := y.time(); err != nil {
		return err
	}
	return y.report()
}

// prepare builds the programs and makes the source and an empty store.
func (y *year) prepare() (err error) {
	if y.plugin, err = caller.Build(".", y.dir); err != nil {
		return err
	}
	if y.leasectl, err = caller.BuildTool(".", y.dir, "leasectl"); err != nil {
		return err
	}
	data := y.options.source
	if data == "" {
		leasegen, err := caller.BuildTool(".", y.dir, "leasegen")
		if err != nil {
			return err
		}
		data = filepath.Join(y.dir, "source")
		cmd := exec.Command(leasegen, "--out", data, "--network", "year", "--events", strconv.Itoa(y.events), "--days", strconv.Itoa(y.options.days),
			"--leases", strconv.Itoa(y.leases), "--seed", strconv.Itoa(y.seed), "--snapshots", "0")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	y.source = filepath.Join(data, ".leaselog", "year")
	y.network = caller.Network{Name: "year", DataDir: filepath.Join(y.dir, "data"), Ranges: [][]caller.Range{{{Subnet: "10.0.0.0/12"}}}}
	return y.empty()
}

// empty makes a store without events, which is not one in use: its lock file names no event that has to be there.
func (y *year) empty() error {
	store := y.network.StoreDir()
	for _, folder := range []string{y.network.Folder(), filepath.Join(store, "journal"), filepath.Join(store, "snap"), filepath.Join(store, "archive"),
		filepath.Join(store, "quarantine")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	meta, err := os.ReadFile(filepath.Join(y.source, "META"))
	if err != nil {
		return err
	}
	id, err := journal.ReadMeta(y.source)
	if err != nil {
		return err
	}
	claim := fmt.Sprintf("%s\n%s\n", id.ID, store)
	return errors.Join(os.WriteFile(filepath.Join(store, "META"), meta, 0o600), os.WriteFile(filepath.Join(store, "lock"), nil, 0o600),
		os.WriteFile(filepath.Join(y.network.Folder(), "leaselog"), []byte(claim), 0o600))
}

// live goes through the year.
func (y *year) live() error {
	from := filepath.Join(y.source, "journal")
	entries, err := os.ReadDir(from) // by name, so by their first events
	if err != nil {
		return err
	}
	if len(entries) < y.options.days {
		return fmt.Errorf("%s: %d segments for %d days", from, len(entries), y.options.days)
	}
	to := filepath.Join(y.network.StoreDir(), "journal")
	for n := 1; n <= y.options.days; n++ {
		for _, e := range entries[len(entries)*(n-1)/y.options.days : len(entries)*n/y.options.days] {
			if err := move(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				return err
			}
		}
		if err := y.compact(); err != nil {
			return fmt.Errorf("day %d: %w", n, err)
		}
		if n == 1 || n == y.options.days || n%30 == 0 {
			if y.sizes[n], err = sizesOf(y.network.StoreDir()); err != nil {
				return err
			}
			fmt.Printf("day %d: %v %+v\n", n, y.days[n-1], y.sizes[n])
		}
		if n == 1 {
			if err := os.CopyFS(filepath.Join(y.dir, "first"), os.DirFS(y.network.DataDir)); err != nil {
				return err
			}
		}
	}
	return nil
}

// move is a rename, or a copy where the source is on another file system.
func move(from, to string) error {
	err := os.Rename(from, to)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

// compact runs leasectl compact and notes what it took.
func (y *year) compact() error {
	cmd := exec.Command(y.leasectl, "compact", "--data-dir", y.network.DataDir, "--network", "year")
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("leasectl compact: %w\n%s", err, out)
	}
	u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("leasectl compact: no resource usage")
	}
	y.days = append(y.days, day{time.Since(start), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), u.Maxrss << 10})
	return nil
}

func sizesOf(store string) (s sizes, err error) {
	for folder, n := range map[string]*int64{"journal": &s.journal, "snap": &s.snap, "archive": &s.archive} {
		err = errors.Join(err, filepath.WalkDir(filepath.Join(store, folder), func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			st, err := d.Info()
			if err != nil {
				return err
			}
			if *n += st.Size(); folder == "archive" {
				s.files++
			}
			return nil
		}))
	}
	return s, err
}

// time calls the plugin on the store as it is now and on that of the first day, in turns.
func (y *year) time() error {
	first := y.network
	first.DataDir = filepath.Join(y.dir, "first")
	id, err := journal.ReadMeta(first.StoreDir())
	if err != nil {
		return err
	}
	claim := fmt.Sprintf("%s\n%s\n", id.ID, first.StoreDir())
	if err := os.WriteFile(filepath.Join(first.Folder(), "leaselog"), []byte(claim), 0o600); err != nil {
		return err
	}
	for n := range y.calls + 5 { // the first ones find a store that nobody has called on since the machine has started
		for i, network := range []caller.Network{first, y.network} {
			took, err := y.call(network, fmt.Sprintf("year%058d", n))
			if err != nil {
				return err
			}
			if n >= 5 && i == 0 {
				y.times = append(y.times, took)
			} else if n >= 5 {
				y.last = append(y.last, took)
			}
		}
	}
	return nil
}

// call times an ADD, and takes it back.
func (y *year) call(network caller.Network, id string) (time.Duration, error) {
	c := caller.Call{Network: network, Verb: "ADD", ID: id}
	start := time.Now()
	a, err := c.Run(y.plugin)
	took := time.Since(start)
	if err == nil && !a.OK() {
		err = fmt.Errorf("ADD in %s: %v", network.DataDir, a)
	}
	if err != nil {
		return 0, err
	}
	c.Verb = "DEL"
	if a, err = c.Run(y.plugin); err == nil && !a.OK() {
		err = fmt.Errorf("DEL in %s: %v", network.DataDir, a)
	}
	return took, err
}

// median returns the middle one, and the quartiles.
func median[T int64 | time.Duration](all []T) (m, low, high T) {
	s := slices.Sorted(slices.Values(all))
	return s[len(s)/2], s[len(s)/4], s[len(s)*3/4]
}
