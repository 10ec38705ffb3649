package crash

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// inode is a file or folder: what is on the disk for sure, what happened since, and what processes see.
type inode struct {
	id  int
	dir bool

	// Of a file.
	base []byte   // on the disk for sure
	log  []change // since, in order; the first is not firm
	now  []byte   // what processes read
	time int64    // of its newest change that is on the disk for sure, nanoseconds

	// Of a folder.
	names   map[string]*inode // on the disk for sure
	renames []nameChange      // since, in order; the first is not firm
	live    map[string]*inode // what processes see
}

// changeKind says what a change of a file is.
type changeKind int

const (
	piece changeKind = iota // bytes within one sector
	grow                    // the file's size
	cut                     // truncation
	touch                   // the file's time, and nothing else
)

// change is a part of a file operation that reaches the disk whole, or not, on its own.
type change struct {
	kind changeKind
	op   int
	at   int64 // piece: where; grow, cut: the new size
	from int64 // grow: the size before
	data []byte
	time int64 // that the file has with it
	firm bool  // on the disk for sure
	lost bool  // its sync failed: the page is clean, and no later sync writes it
}

// end is where a piece ends.
func (c *change) end() int64 { return c.at + int64(len(c.data)) }

// nameKind says what a change of a folder is.
type nameKind int

const (
	added nameKind = iota
	removed
	renamed   // within the folder: both names change together
	exchanged // within the folder: two names change places
)

// nameChange is a change of a folder that reaches the disk whole, or not, on its own.
type nameChange struct {
	kind  nameKind
	op    int
	name  string
	to    string // renamed, exchanged
	node  *inode
	other *inode // exchanged: what had the other name
	firm  bool
}

// disk is a file system below one folder, as the kernel has it and as a crash could leave it.
type disk struct {
	root  *inode
	nodes int
	open  map[[2]int]*openFile // by process and descriptor
	ops   int                  // done so far
}

type openFile struct {
	node   *inode
	at     int64
	append bool
}

func newDisk() *disk {
	d := &disk{open: map[[2]int]*openFile{}}
	d.root = d.node(true)
	return d
}

func (d *disk) node(dir bool) *inode {
	d.nodes++
	n := &inode{id: d.nodes, dir: dir}
	if dir {
		n.names, n.live = map[string]*inode{}, map[string]*inode{}
	}
	return n
}

// load makes a disk that holds a folder as it is, all of it durable.
func load(folder string) (*disk, error) {
	d := newDisk()
	seen := []os.FileInfo{}
	nodes := []*inode{}
	err := filepath.WalkDir(folder, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == folder {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(p, folder+"/")
		parent, err := d.find(path.Dir(rel))
		if err != nil {
			return err
		}
		i := slices.IndexFunc(seen, func(s os.FileInfo) bool { return !e.IsDir() && os.SameFile(s, info) })
		var n *inode
		if i >= 0 {
			n = nodes[i]
		} else {
			n = d.node(e.IsDir())
			seen, nodes = append(seen, info), append(nodes, n)
			if !e.IsDir() {
				if n.base, err = os.ReadFile(p); err != nil {
					return err
				}
				n.now, n.time = n.base, info.ModTime().UnixNano()
			}
		}
		parent.names[path.Base(rel)], parent.live[path.Base(rel)] = n, n
		return nil
	})
	return d, err
}

// clone copies a disk on which nothing has happened yet.
func (d *disk) clone() *disk {
	out := &disk{open: map[[2]int]*openFile{}, nodes: d.nodes}
	copies := map[*inode]*inode{}
	var node func(n *inode) *inode
	node = func(n *inode) *inode {
		if c := copies[n]; c != nil {
			return c
		}
		c := &inode{id: n.id, dir: n.dir, base: n.base, now: n.now, time: n.time}
		copies[n] = c
		if n.dir {
			c.names, c.live = map[string]*inode{}, map[string]*inode{}
			for name, child := range n.names {
				c.names[name] = node(child)
				c.live[name] = c.names[name]
			}
		}
		return c
	}
	out.root = node(d.root)
	return out
}

// find returns the folder or file at a path, as processes see it.
func (d *disk) find(p string) (*inode, error) {
	n := d.root
	for _, name := range strings.Split(p, "/") {
		if name == "" || name == "." {
			continue
		}
		if n = n.live[name]; n == nil {
			return nil, fmt.Errorf("%s: %w", p, fs.ErrNotExist)
		}
	}
	return n, nil
}

// split returns a path's folder and last name.
func (d *disk) split(p string) (*inode, string, error) {
	n, err := d.find(path.Dir(p))
	return n, path.Base(p), err
}

// step does one operation. An error means that the recording is not what happened.
func (d *disk) step(o *op) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("operation %d, %s: %w", d.ops, o.words, err)
		}
		d.ops++
	}()
	switch o.kind {
	case opStart, opAnswer:
		return nil
	case opExit:
		maps.DeleteFunc(d.open, func(key [2]int, _ *openFile) bool { return key[0] == o.proc })
		return nil
	case opOpen:
		return d.openFile(o)
	case opRename, opExchange, opLink, opUnlink, opMkdir, opTouch:
		return d.name(o)
	case opSyncDisk:
		d.syncFiles(o.begun)
		return nil
	}
	f := d.open[[2]int{o.proc, o.fd}]
	if f == nil {
		return errors.New("the descriptor is not known")
	}
	switch o.kind {
	case opClose:
		delete(d.open, [2]int{o.proc, o.fd})
	case opDup:
		d.open[[2]int{o.proc, int(o.at)}] = f
	case opSeek:
		if o.flags == "SEEK_CUR" {
			f.at += o.at
		} else {
			f.at = o.at
		}
	case opWrite:
		if f.append {
			f.at = int64(len(f.node.now))
		}
		f.node.write(d.ops, f.at, o.data, o.time)
		f.at += int64(len(o.data))
	case opWriteAt:
		f.node.write(d.ops, o.at, o.data, o.time)
	case opTruncate:
		f.node.truncate(d.ops, o.at, o.time)
	case opSync:
		f.node.sync(o.begun)
	case opSyncFailed:
		f.node.syncFailed(o.begun)
	}
	return nil
}

func (d *disk) openFile(o *op) error {
	parent, name, err := d.split(o.path)
	if err != nil {
		return err
	}
	n := parent.live[name]
	if o.path == "" {
		n = d.root
	}
	switch {
	case n == nil && !strings.Contains(o.flags, "O_CREAT"):
		return fs.ErrNotExist
	case n == nil:
		n = d.node(false)
		n.time = o.time
		parent.change(nameChange{kind: added, op: d.ops, name: name, node: n})
	case strings.Contains(o.flags, "O_TRUNC"):
		n.truncate(d.ops, 0, o.time)
	}
	d.open[[2]int{o.proc, o.fd}] = &openFile{node: n, append: strings.Contains(o.flags, "O_APPEND")}
	return nil
}

// name does what changes names.
func (d *disk) name(o *op) error {
	parent, name, err := d.split(o.path)
	if err != nil {
		return err
	}
	n := parent.live[name]
	if o.kind == opMkdir {
		parent.change(nameChange{kind: added, op: d.ops, name: name, node: d.node(true)})
		return nil
	}
	if n == nil {
		return fs.ErrNotExist
	}
	if o.kind == opTouch {
		n.log = append(n.log, change{kind: touch, op: d.ops, time: o.at})
		return nil
	}
	if o.kind == opUnlink {
		parent.change(nameChange{kind: removed, op: d.ops, name: name, node: n})
		return nil
	}
	toParent, to, err := d.split(o.to)
	if err != nil {
		return err
	}
	switch {
	case o.kind == opExchange:
		other := parent.live[to]
		if parent != toParent || other == nil {
			return errNotModelled
		}
		parent.change(nameChange{kind: exchanged, op: d.ops, name: name, to: to, node: n, other: other})
	case o.kind == opLink:
		toParent.change(nameChange{kind: added, op: d.ops, name: to, node: n})
	case parent == toParent:
		parent.change(nameChange{kind: renamed, op: d.ops, name: name, to: to, node: n})
	default:
		toParent.change(nameChange{kind: added, op: d.ops, name: to, node: n})
		parent.change(nameChange{kind: removed, op: d.ops, name: name, node: n})
	}
	return nil
}

// apply makes a change in a folder's names.
func (c *nameChange) apply(names map[string]*inode) {
	if (c.kind == removed || c.kind == renamed) && names[c.name] == c.node {
		delete(names, c.name)
	}
	switch c.kind {
	case exchanged:
		names[c.name], names[c.to] = c.other, c.node
	case added:
		names[c.name] = c.node
	case renamed:
		names[c.to] = c.node
	}
}

func (n *inode) change(c nameChange) {
	c.apply(n.live)
	n.renames = append(n.renames, c)
}

// write puts bytes into the page cache: a piece for each sector, and then the size.
func (n *inode) write(op int, at int64, data []byte, time int64) {
	size := int64(len(n.now))
	end := at + int64(len(data))
	now := make([]byte, max(size, end)) // a new one: images and base may share the old
	copy(now, n.now)
	copy(now[at:], data)
	n.now = now
	beyond := max(n.reach(), size)
	for len(data) > 0 {
		p := data[:min(int64(len(data)), sector-at%sector)]
		if at < beyond || !zero(p) { // otherwise it reads the same without
			n.log = append(n.log, change{kind: piece, op: op, at: at, data: p, time: time})
		}
		data, at = data[len(p):], at+int64(len(p))
	}
	if end > size {
		n.log = append(n.log, change{kind: grow, op: op, from: size, at: end, time: time})
	}
}

// reach is the end of everything that may be on the disk.
func (n *inode) reach() int64 {
	end := int64(len(n.base))
	for i := range n.log {
		end = max(end, n.log[i].end())
	}
	return end
}

func zero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

func (n *inode) truncate(op int, size, time int64) {
	if size == int64(len(n.now)) && len(n.log) == 0 {
		return // it gives back reserved space and changes nothing else
	}
	n.now = resized(n.now, size)
	n.log = append(n.log, change{kind: cut, op: op, at: size, time: time})
}

// resized returns a copy of b of another length.
func resized(b []byte, size int64) []byte {
	out := make([]byte, size)
	copy(out, b)
	return out
}

// sync makes durable what was there when the call was entered, but for what an earlier sync failed to write.
func (n *inode) sync(begun int) {
	for i := range n.log {
		if c := &n.log[i]; c.op < begun && !c.lost {
			c.firm = true
		}
	}
	for i := range n.renames {
		if c := &n.renames[i]; c.op < begun {
			c.firm = true
		}
	}
	n.forget()
	n.settle()
}

// syncFiles makes durable the bytes of all files, as sync of a file system does; its names are left to the folders' own
// syncs, though no file system that we know has the one without the other.
func (d *disk) syncFiles(begun int) {
	seen := map[*inode]bool{}
	var visit func(n *inode)
	visit = func(n *inode) {
		if seen[n] {
			return
		}
		seen[n] = true
		if !n.dir {
			n.sync(begun)
		}
		for _, child := range n.live {
			visit(child)
		}
	}
	visit(d.root)
}

// syncFailed leaves the bytes in pages that are clean and yet not on the disk.
func (n *inode) syncFailed(begun int) {
	for i := range n.log {
		if c := &n.log[i]; c.op < begun && c.kind == piece && !c.firm {
			c.lost = true
		}
	}
}

// forget drops pieces that something firm has replaced: written again, or cut off.
func (n *inode) forget() {
	kept := n.log[:0:0]
	for i, c := range n.log {
		gone := false
		for _, later := range n.log[i+1:] {
			if c.kind != piece || c.firm || !later.firm {
				continue
			}
			switch later.kind {
			case piece:
				gone = gone || later.at <= c.at && later.end() >= c.end()
			case cut:
				c.data = c.data[:min(int64(len(c.data)), max(0, later.at-c.at))]
				gone = gone || len(c.data) == 0
			}
		}
		if !gone {
			kept = append(kept, c)
		}
	}
	n.log = kept
}

// settle moves what is firm from the log to what is on the disk for sure.
func (n *inode) settle() {
	if i := firmPrefix(n.log, func(c change) bool { return c.firm }); i > 0 {
		n.base = replayed(n.base, n.log[:i], func(int) int64 { return all })
		n.time = timeAfter(n.time, n.log[:i], func(int) bool { return true })
		n.log = slices.Clone(n.log[i:])
	}
	if i := firmPrefix(n.renames, func(c nameChange) bool { return c.firm }); i > 0 {
		for _, c := range n.renames[:i] {
			c.apply(n.names)
		}
		n.renames = slices.Clone(n.renames[i:])
	}
}

func firmPrefix[T any](log []T, firm func(T) bool) int {
	i := slices.IndexFunc(log, func(c T) bool { return !firm(c) })
	if i < 0 {
		return len(log)
	}
	return i
}

// What replay is told about a change.
const (
	none int64 = -1 // it didn't reach the disk
	all  int64 = -2 // it did; a file grew to any other number of bytes
)

// replayed returns a file's content after those changes that reached the disk.
func replayed(base []byte, log []change, reached func(i int) int64) []byte {
	room := int64(len(base))
	for i := range log {
		room = max(room, log[i].at+int64(len(log[i].data)))
	}
	b := make([]byte, room)
	copy(b, base)
	size := int64(len(base))
	for i := range log {
		c := &log[i]
		how := reached(i)
		if c.firm {
			how = all
		}
		if how == none {
			continue
		}
		switch c.kind {
		case piece:
			copy(b[c.at:], c.data)
		case grow:
			if how == all {
				how = c.at
			}
			size = max(size, how)
		case cut:
			if size > c.at {
				clear(b[c.at:])
			}
			size = c.at
		}
	}
	return b[:size]
}

// timeAfter returns a file's time after those changes that reached the disk: that of the last.
func timeAfter(time int64, log []change, reached func(i int) bool) int64 {
	for i := range log {
		if log[i].firm || reached(i) {
			time = log[i].time
		}
	}
	return time
}

// same compares what processes see with a real folder.
func (d *disk) same(folder string) error {
	var walk func(n *inode, p string) error
	walk = func(n *inode, p string) error {
		if !n.dir {
			b, err := os.ReadFile(p)
			if err == nil && !bytes.Equal(b, n.now) {
				err = fmt.Errorf("%s: the model has other bytes (%d, really %d)", p, len(n.now), len(b))
			}
			return err
		}
		entries, err := os.ReadDir(p)
		if err != nil {
			return err
		}
		if len(entries) != len(n.live) {
			return fmt.Errorf("%s: %d names, the model has %d", p, len(entries), len(n.live))
		}
		for _, e := range entries {
			child := n.live[e.Name()]
			if child == nil || child.dir != e.IsDir() {
				return fmt.Errorf("%s: not what the model has", filepath.Join(p, e.Name()))
			}
			if err := walk(child, filepath.Join(p, e.Name())); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(d.root, folder)
}
