package archive

import (
	"fmt"
	"path/filepath"

	"github.com/leaselog/leaselog/journal"
)

// Head is what a packed file says of itself.
type Head struct {
	File                  string // below the store's folder
	Journal               journal.ID
	Network, Node         string
	First, Last           journal.Seq
	FirstClock, LastClock journal.Clock
	Before, After         journal.Hash // of the record before the first, and of the last
	Content, Previous     journal.Hash // its digest, and that of the file before, zero if there was none
	Boots                 []Boot
	Keyframes             []journal.Seq
}

// Heads returns the heads of the packed files that can be read, in the order of their first events.
func (r *Reader) Heads() []Head {
	all := make([]Head, 0, len(r.files))
	for _, f := range r.files {
		h := &f.head
		head := Head{File: r.nameOf(f), Journal: h.id, Network: h.network, Node: h.node, First: h.first, Last: h.last, FirstClock: h.from,
			LastClock: h.to, Before: h.before, After: h.after, Content: h.content, Previous: h.previous, Boots: h.boots}
		for _, k := range h.keyframes {
			head.Keyframes = append(head.Keyframes, k.seq)
		}
		all = append(all, head)
	}
	return all
}

// IsName reports whether a file is named like a packed one.
func IsName(name string) bool {
	_, _, ok := parseName(name)
	return ok
}

// OpenFile opens a packed file by itself. It has to be of the journal with this ID, unless that is zero.
func OpenFile(path string, id journal.ID) (*Reader, error) {
	f, err := openFile(path, id)
	if err != nil {
		return nil, err
	}
	h := &f.head
	folder := filepath.Dir(path)
	return &Reader{dir: folder, folder: folder, files: []*file{f}, alone: true,
		meta: journal.Meta{Format: formatVersion, MinReader: formatVersion, MinWriter: formatVersion, ID: h.id, Network: h.network, Node: h.node},
		cov: journal.Coverage{Copy: true, Durable: h.last,
			Doubts: []string{fmt.Sprintf("this is one packed file by itself: it tells nothing after event %d", h.last)}}}, nil
}
