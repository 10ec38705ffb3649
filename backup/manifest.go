package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/leaselog/leaselog/journal"
)

// formatVersion is what this version writes, and all that it can read.
const formatVersion = 1

const (
	manifestName  = "manifest.json"
	storesName    = "stores"
	manifestLimit = 64 << 20 // bytes of a manifest
	nameLimit     = 512      // bytes of a name in a store
)

// Manifest is what stands first in a backup file: what it is, and which files follow. Field names are fixed.
type Manifest struct {
	Format    int       `json:"format"`
	MinReader int       `json:"min_reader"` // a version of the format below it can't read the file
	Version   string    `json:"leaselog"`   // of the program
	Time      time.Time `json:"time"`       // when the backup was begun
	Node      string    `json:"node"`       // where
	Stores    []Stored  `json:"stores"`
}

// Stored is a store in a backup file.
type Stored struct {
	Network   string    `json:"network"`
	Node      string    `json:"node"` // whose store it is
	Journal   string    `json:"journal"`
	DataDir   string    `json:"data_dir"`
	Taken     time.Time `json:"time"`         // when it was copied
	Synced    bool      `json:"synchronised"` // the clock was, then
	MaxError  int64     `json:"max_error_ns"` // and this is the bound that the kernel gave on its error
	Live      bool      `json:"live"`         // it was in use then: the copy tells all up to that time; see Covered
	FirstSeq  uint64    `json:"first_seq"`
	LastSeq   uint64    `json:"last_seq"`
	FirstTime time.Time `json:"first_time"`
	LastTime  time.Time `json:"last_time"`
	Events    uint64    `json:"events"`
	Head      string    `json:"sha256"` // of the last event's record
	Damage    []string  `json:"damage"`
	Left      []string  `json:"left_out"`
	Files     []File    `json:"files"`
}

// File is a file of a store, by its name below the store's folder.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Bytes is how much the store's files hold.
func (s *Stored) Bytes() int64 {
	n := int64(0)
	for i := range s.Files {
		n += s.Files[i].Bytes
	}
	return n
}

// Covered returns the time up to which the store is known to tell all; zero if up to its last event: because it was not in use, or because
// the clock that said when it was copied may have been wrong. A time that is too late would make a certainty of what nobody looked at.
func (s *Stored) Covered() time.Time {
	t := s.Taken.Add(-time.Duration(s.MaxError))
	if !s.Live || !s.Synced || !t.After(s.LastTime) {
		return time.Time{}
	}
	return t
}

// Store returns a network's store, nil if the backup has none.
func (m *Manifest) Store(network string) *Stored {
	if i := slices.IndexFunc(m.Stores, func(s Stored) bool { return s.Network == network }); i >= 0 {
		return &m.Stores[i]
	}
	return nil
}

// stored describes a copy.
func stored(c Copied, dir string) (Stored, error) {
	s := Stored{Network: c.Meta.Network, Node: c.Meta.Node, Journal: c.Meta.ID.String(), DataDir: c.Meta.DataDir, Taken: c.Clock.Time(), Synced: c.Clock.Synchronised,
		MaxError: int64(c.Clock.MaxError), Live: c.Live,
		FirstSeq: uint64(c.First), LastSeq: uint64(c.Last), FirstTime: c.FirstTime.UTC(), LastTime: c.LastTime.UTC(), Events: c.Events,
		Head: c.Head.String(), Damage: append([]string{}, c.Damage...), Left: append([]string{}, c.Left...)}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		f := File{Name: filepath.ToSlash(rel)}
		if f.Bytes, f.SHA256, err = digest(name); err == nil {
			s.Files = append(s.Files, f)
		}
		return err
	})
	return s, err
}

// digest returns a file's size and SHA-256.
func digest(path string) (n int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	n, err = io.Copy(h, f)
	return n, hex.EncodeToString(h.Sum(nil)), err
}

// parseManifest reads a manifest, of which nothing is believed that could do harm.
func parseManifest(b []byte) (*Manifest, error) {
	m := new(Manifest)
	var version struct {
		Format    int `json:"format"`
		MinReader int `json:"min_reader"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if version.MinReader > formatVersion {
		return nil, fmt.Errorf("for version %d and up: %w", version.MinReader, journal.ErrNewer)
	}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if m.Format < 1 || m.MinReader < 1 {
		return nil, errors.New("manifest: names no format")
	}
	if len(m.Stores) == 0 {
		return nil, errors.New("manifest: names no store")
	}
	networks := make(map[string]bool)
	for i := range m.Stores {
		s := &m.Stores[i]
		if networks[s.Network] {
			return nil, fmt.Errorf("manifest: network %q twice", s.Network)
		}
		networks[s.Network] = true
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("manifest: network %q: %w", s.Network, err)
		}
	}
	return m, nil
}

// check refuses what no backup has.
func (s *Stored) check() error {
	if !validNetwork(s.Network) {
		return errors.New("no name of a network")
	}
	if _, err := journal.ParseID(s.Journal); err != nil {
		return err
	}
	if s.FirstSeq == 0 || s.LastSeq < s.FirstSeq || s.Taken.IsZero() || s.Taken.Year() < 1970 || s.Taken.Year() > 2261 {
		return errors.New("names no events, or no time")
	}
	if s.MaxError < 0 {
		return fmt.Errorf("a clock's error of %d ns", s.MaxError)
	}
	names, folders := make(map[string]bool), make(map[string]bool)
	total := int64(0)
	for _, f := range s.Files {
		if !validName(f.Name) {
			return fmt.Errorf("%q is no file of a store", f.Name)
		}
		if names[f.Name] {
			return fmt.Errorf("file %q twice", f.Name)
		}
		if sum, err := hex.DecodeString(f.SHA256); err != nil || len(sum) != sha256.Size {
			return fmt.Errorf("file %q: no digest", f.Name)
		}
		names[f.Name] = true
		for dir := path.Dir(f.Name); dir != "."; dir = path.Dir(dir) {
			folders[dir] = true
		}
		if total += f.Bytes; f.Bytes < 0 || total < 0 {
			return fmt.Errorf("file %q: %d bytes", f.Name, f.Bytes)
		}
	}
	for name := range names {
		if folders[name] {
			return fmt.Errorf("%q is a file and a folder", name)
		}
	}
	if !names["META"] {
		return errors.New("has no META")
	}
	return nil
}

// validNetwork reports whether a network may be called so: what CNI allows.
func validNetwork(name string) bool {
	const first = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return name != "" && len(name) <= 255 && strings.Contains(first, name[:1]) && strings.Trim(name, first+"_.-") == ""
}

// validName reports whether a file may be called so in a backup: below the store's folder, in a part of it that copies have.
func validName(name string) bool {
	if !fs.ValidPath(name) || len(name) > nameLimit || strings.ContainsFunc(name, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }) {
		return false
	}
	top, _, below := strings.Cut(name, "/")
	if below {
		return slices.Contains(folderNames, top)
	}
	return slices.Contains(fileNames, top) || top == "lock"
}
