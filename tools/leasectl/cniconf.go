package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/journal"
)

// defaultConfDir is where runtimes look for the configurations of networks.
const defaultConfDir = "/etc/cni/net.d"

// maxConfBytes is more than any configuration of a network has.
const maxConfBytes = 16 << 20

// retained is what the configuration of a network says about how much of its history is kept.
type retained struct {
	file   string
	dir    string // of the network's store
	policy journal.Retention
}

// confs are the networks that a CNI configuration folder has for leaselog, by name.
type confs struct {
	dir      string
	named    map[string]bool // the networks of which there is a configuration, whichever plugin gives its addresses
	networks map[string][]retained
	errs     []error // files that can't be read, and retentions that make no sense
}

// readConfs reads the configurations in a folder. That there is no folder is no error where it is the default one.
func readConfs(dir string) (*confs, error) {
	c := &confs{dir: dir, named: make(map[string]bool), networks: make(map[string][]retained)}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) && dir == defaultConfDir {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configuration folder: %w", err)
	}
	for _, e := range entries {
		if !slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(e.Name())) || e.IsDir() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := c.read(path); err != nil {
			c.errs = append(c.errs, fmt.Errorf("configuration %s: %w", path, err))
		}
	}
	return c, nil
}

func (c *confs) read(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() || st.Size() > maxConfBytes {
		return errors.New("is no file, or larger than any configuration")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var conf any
	if err := json.Unmarshal(b, &conf); err != nil {
		return err
	}
	return c.walk(path, "", conf)
}

// walk looks for parts named ipam, wherever they are: delegates are nested in the configuration of the plugin that calls them, with a
// name of their own or without.
func (c *confs) walk(path, name string, v any) error {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := c.walk(path, name, e); err != nil {
				return err
			}
		}
	case map[string]any:
		if own, ok := member(v, "name").(string); ok && own != "" {
			name = own
		}
		for key, e := range v {
			ipam, ok := e.(map[string]any)
			var err error
			if ok && strings.EqualFold(key, "ipam") {
				err = c.ipam(path, name, ipam)
			} else {
				err = c.walk(path, name, e)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// member returns a member of an object, nil if it isn't there. Plugins, and leaselog among them, don't look at upper and lower case.
func member(object map[string]any, key string) any {
	if v, ok := object[key]; ok {
		return v
	}
	for k, v := range object {
		if strings.EqualFold(k, key) {
			return v
		}
	}
	return nil
}

// ipam takes in a part named ipam: of leaselog, or of a plugin that leaselog has the name of and that has a retention.
func (c *confs) ipam(path, name string, ipam map[string]any) error {
	c.named[name] = true
	stated := member(ipam, "retention")
	if stated == nil && member(ipam, "type") != "leaselog" || name == "" {
		return nil
	}
	r := retained{file: path}
	dataDir, historyDir := defaultDataDir, ""
	if s, ok := member(ipam, "dataDir").(string); ok && s != "" {
		dataDir = s
	}
	if s, ok := member(ipam, "historyDir").(string); ok {
		historyDir = s
	}
	if historyDir == "" {
		historyDir = filepath.Join(dataDir, historyName)
	}
	r.dir = filepath.Join(historyDir, name)
	if stated != nil {
		b, err := json.Marshal(stated)
		if err == nil {
			err = json.Unmarshal(b, &r.policy)
		}
		if err != nil {
			return fmt.Errorf("network %q: retention: %w", name, err)
		}
	}
	c.networks[name] = append(c.networks[name], r)
	return nil
}

// limits returns the retentions that are stated for a store; none if it keeps everything. What is said of a network twice has to
// let an event go twice.
func (c *confs) limits(a *app, s *store) []journal.Retention {
	var limits []journal.Retention
	var files []string
	if !c.named[s.network] {
		a.say("%s: no configuration of it is in %s: all is kept (--conf-dir says where else configurations are)", s.title(), c.dir)
	}
	for _, r := range c.networks[s.network] {
		if !sameFolder(r.dir, s.dir) {
			if r.policy != (journal.Retention{}) {
				a.say("%s: the retention in %s is for the store in %s, and not for %s", s.title(), r.file, r.dir, s.dir)
			}
			continue
		}
		if !slices.Contains(limits, r.policy) {
			limits, files = append(limits, r.policy), append(files, r.file)
		}
	}
	if len(limits) > 1 {
		texts := make([]string, len(limits))
		for i, l := range limits {
			texts[i] = fmt.Sprintf("%s in %s", l, files[i])
		}
		a.say("%s is configured with several retentions, %q: what any of them keeps is kept", s.title(), texts)
	}
	if slices.Contains(limits, journal.Retention{}) {
		return nil
	}
	return limits
}

func sameFolder(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
