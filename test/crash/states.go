package crash

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// slot is one thing that a crash decides. Choice 0 is that nothing of it reached the disk, the last one that
// all of it did.
type slot struct {
	node    *inode
	changes []int   // in node.log or node.renames: versions of the same bytes, of which one is on the disk
	sizes   []int64 // of a file that grew: what it may have grown to
	name    bool
	op      int

	// What it is about, for words: the log goes on while images are tried.
	renamed nameChange
	first   change
}

func (s *slot) choices() int {
	if s.sizes != nil {
		return len(s.sizes) + 1
	}
	return len(s.changes) + 1
}

// words says what a choice means.
func (s *slot) words(choice int, paths map[*inode]string) string {
	where := paths[s.node]
	if s.name {
		c := s.renamed
		what := []string{"new name %s", "removal of %s", "renaming of %s to " + c.to, "exchange of %s with " + c.to}[c.kind]
		return fmt.Sprintf("%s/: "+what+" (operation %d) %s", where, c.name, c.op, []string{"lost", "kept"}[choice])
	}
	c := s.first
	switch {
	case s.sizes != nil && choice == 0:
		return fmt.Sprintf("%s: size stays %d (operation %d)", where, c.from, c.op)
	case s.sizes != nil:
		return fmt.Sprintf("%s: size %d (operation %d)", where, s.sizes[choice-1], c.op)
	case c.kind == touch:
		return fmt.Sprintf("%s: time (operation %d) %s", where, c.op, []string{"lost", "kept"}[choice])
	case c.kind == cut:
		return fmt.Sprintf("%s: cut to %d (operation %d) %s", where, c.at, c.op, []string{"lost", "kept"}[choice])
	case choice == 0:
		return fmt.Sprintf("%s: bytes %d to %d (operation %d) lost", where, c.at, c.end(), c.op)
	}
	return fmt.Sprintf("%s: bytes %d to %d (operation %d) kept, version %d of %d", where, c.at, c.end(), c.op, choice, len(s.changes))
}

// everyByte is how much a file may have grown so that it is cut at every byte; beyond, only at and beside
// the borders of sectors.
const everyByte = 4096

// sizesOf returns what a file may have grown to.
func sizesOf(c change) []int64 {
	var sizes []int64
	for n := c.from + 1; n <= c.at; n++ {
		if c.at-c.from <= everyByte || n == c.at || n <= c.from+2 || (n+1)%sector <= 2 {
			sizes = append(sizes, n)
		}
	}
	return sizes
}

// slots returns what a crash now would decide, in the order in which it happened.
func (d *disk) slots() []slot {
	var out []slot
	seen := map[*inode]bool{}
	var visit func(n *inode)
	visit = func(n *inode) {
		if seen[n] {
			return
		}
		seen[n] = true
		for i, c := range n.renames {
			if !c.firm {
				out = append(out, slot{node: n, changes: []int{i}, name: true, op: c.op, renamed: c})
			}
			visit(c.node)
			if c.other != nil {
				visit(c.other)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(n.names)) {
			visit(n.names[name])
		}
		out = append(out, n.fileSlots()...)
	}
	visit(d.root)
	slices.SortStableFunc(out, func(a, b slot) int { return cmp.Compare(a.op, b.op) })
	return out
}

// fileSlots returns a file's slots. Pieces that were written over and over, with no truncation in between,
// are versions of one.
func (n *inode) fileSlots() []slot {
	var out []slot
	versions := map[[2]int64]int{}
	for i, c := range n.log {
		switch {
		case c.firm:
			if c.kind == cut {
				clear(versions)
			}
		case c.kind == grow:
			out = append(out, slot{node: n, changes: []int{i}, sizes: sizesOf(c), op: c.op, first: c})
		case c.kind == cut:
			clear(versions)
			out = append(out, slot{node: n, changes: []int{i}, op: c.op, first: c})
		case c.kind == touch:
			out = append(out, slot{node: n, changes: []int{i}, op: c.op, first: c})
		default:
			key := [2]int64{c.at, c.end()}
			if at, ok := versions[key]; ok {
				out[at].changes = append(out[at].changes, i)
				continue
			}
			versions[key] = len(out)
			out = append(out, slot{node: n, changes: []int{i}, op: c.op, first: c})
		}
	}
	return out
}

// limits bound what is explored of one crash point.
type limits struct {
	exhaustive int // every combination is taken if there are at most so many
	single     int // beyond: how many choices of each slot are tried against all others kept, and all lost
	random     int // beyond: and so many random combinations
}

// combinations yields choices for the slots, until yield returns false. They are not distinct.
func combinations(slots []slot, l limits, random *rand.Rand, yield func([]int)) (exhaustive bool) {
	total := 1
	for i := range slots {
		total *= slots[i].choices()
		if total > l.exhaustive {
			sample(slots, l, random, yield)
			return false
		}
	}
	pick := make([]int, len(slots))
	for {
		yield(pick)
		i := 0
		for ; i < len(slots); i++ {
			if pick[i]++; pick[i] < slots[i].choices() {
				break
			}
			pick[i] = 0
		}
		if i == len(slots) {
			return true
		}
	}
}

// sample takes none, all, each prefix in the order of the operations, each slot lost or kept alone or in part, and random
// combinations: dense, thin and even ones.
func sample(slots []slot, l limits, random *rand.Rand, yield func([]int)) {
	none, full, grown := make([]int, len(slots)), make([]int, len(slots)), make([]int, len(slots))
	for i := range slots {
		full[i] = slots[i].choices() - 1
		if slots[i].sizes != nil {
			grown[i] = full[i] // so that a piece alone can be seen at all
		}
	}
	yield(none)
	yield(full)
	yield(grown)
	for i := range slots {
		pick := slices.Clone(none)
		copy(pick, full[:i])
		yield(pick)
	}
	for i := range slots {
		step := max(1, full[i]/max(1, l.single))
		for choice := 0; ; choice = min(choice+step, full[i]) {
			for _, others := range [][]int{none, full, grown} {
				pick := slices.Clone(others)
				pick[i] = choice
				yield(pick)
			}
			if choice == full[i] {
				break
			}
		}
	}
	for i := range l.random {
		pick := make([]int, len(slots))
		bias := []float64{0.1, 0.5, 0.9}[i%3]
		for j := range pick {
			switch {
			case random.Float64() >= bias:
			case random.IntN(2) == 0:
				pick[j] = full[j]
			default:
				pick[j] = random.IntN(full[j] + 1)
			}
		}
		yield(pick)
	}
}

// image is what a crash left: files and folders by path, folders before what is in them.
type image struct {
	entries []imageEntry
	hash    [16]byte
}

type imageEntry struct {
	path string
	dir  bool
	data []byte
	time int64 // of a lease file of host-local, nanoseconds; 0 for others
	same int   // index of an earlier entry that is the same file by another name, -1 if none
}

// imager makes the images of one crash point.
type imager struct {
	disk    *disk
	slots   []slot
	owned   map[*inode][]int // slots by inode
	content map[string]imageContent
}

type imageContent struct {
	data []byte
	time int64
	hash [32]byte
}

func newImager(d *disk, slots []slot) *imager {
	m := &imager{disk: d, slots: slots, owned: map[*inode][]int{}, content: map[string]imageContent{}}
	for i, s := range slots {
		m.owned[s.node] = append(m.owned[s.node], i)
	}
	return m
}

// image returns what is left if the crash makes these choices.
func (m *imager) image(pick []int) image {
	var img image
	h := sha256.New()
	at := map[*inode]int{}
	var walk func(n *inode, p string, depth int)
	walk = func(n *inode, p string, depth int) {
		names := m.names(n, pick)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			child := names[name]
			e := imageEntry{path: strings.TrimPrefix(p+"/"+name, "/"), dir: child.dir, same: -1}
			fmt.Fprintf(h, "%q %t ", e.path, e.dir)
			if first, ok := at[child]; ok {
				if child.dir {
					continue // a folder has one name; the other one is a remnant that fsck removes
				}
				e.same, e.data = first, img.entries[first].data
			} else if !child.dir {
				c := m.file(child, pick)
				e.data = c.data
				h.Write(c.hash[:])
				if _, ok := leaseFile(e.path); ok {
					e.time = c.time
					fmt.Fprintf(h, "%d ", e.time)
				}
			}
			at[child] = len(img.entries)
			img.entries = append(img.entries, e)
			if child.dir {
				walk(child, e.path, depth+1)
			}
		}
	}
	walk(m.disk.root, "", 0)
	copy(img.hash[:], h.Sum(nil))
	return img
}

func (m *imager) names(n *inode, pick []int) map[string]*inode {
	if len(n.renames) == 0 {
		return n.names
	}
	kept := map[int]bool{}
	for _, i := range m.owned[n] {
		kept[m.slots[i].changes[0]] = pick[i] > 0
	}
	names := maps.Clone(n.names)
	for i, c := range n.renames {
		if c.firm || kept[i] {
			c.apply(names)
		}
	}
	return names
}

func (m *imager) file(n *inode, pick []int) imageContent {
	key := binary.AppendUvarint(nil, uint64(n.id))
	for _, i := range m.owned[n] {
		key = binary.AppendUvarint(key, uint64(pick[i]))
	}
	if c, ok := m.content[string(key)]; ok {
		return c
	}
	reached := map[int]int64{}
	for _, i := range m.owned[n] {
		s := &m.slots[i]
		switch {
		case pick[i] == 0:
		case s.sizes != nil:
			reached[s.changes[0]] = s.sizes[pick[i]-1]
		default:
			reached[s.changes[pick[i]-1]] = all
		}
	}
	c := imageContent{data: n.base, time: n.time}
	if len(n.log) > 0 {
		c.time = timeAfter(n.time, n.log, func(i int) bool { _, ok := reached[i]; return ok })
		c.data = replayed(n.base, n.log, func(i int) int64 {
			if how, ok := reached[i]; ok {
				return how
			}
			return none
		})
	}
	c.hash = sha256.Sum256(c.data)
	m.content[string(key)] = c
	return c
}
