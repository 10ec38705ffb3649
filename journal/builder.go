package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Builder writes a whole store of events that are known beforehand, such as a generated history. What
// it leaves is, byte for byte, what the same batches leave that Journal.Append has written, but the
// store is synced once, at the end, and nobody can see it before. It holds the creation lock all the
// while, so that no other network of the history folder can be created meanwhile.
//
// Finish or Discard has to follow. It is not safe for concurrent use.
type Builder struct {
	meta  Meta
	claim func(ID) (undo func(), err error)
	dir   string // where the store will be
	tmp   string // where it is until then
	lock  *os.File
	made  []string // folders that were missing

	last  Seq
	head  Hash
	boot  BootID // of the last event
	first []Seq  // of each segment
	rest  []byte // the newest segment, in memory until the next one begins

	batch, record []byte // room for the next append
}

// NewBuilder begins a store at <historyDir>/<network> with its first event: genesis names the journal's
// ID and the node and has the clock, the rest of it is filled in. The event is complete when this returns. It
// returns fs.ErrExist if there is something at the store's place already.
func NewBuilder(historyDir string, n NewStore, genesis *Event, deadline time.Time) (*Builder, error) {
	if !n.AllowNetworkFS {
		if err := refuseNetworkFS(historyDir); err != nil {
			return nil, err
		}
	}
	made := missingDirs(historyDir)
	lock, err := createLockFile(historyDir, deadline)
	if err != nil {
		removeEmpty(made)
		return nil, err
	}
	b := &Builder{claim: n.Claim, dir: filepath.Join(historyDir, n.Network), lock: lock, made: made}
	if err := b.begin(n, genesis); err != nil {
		return nil, errors.Join(err, b.Discard())
	}
	return b, nil
}

func (b *Builder) begin(n NewStore, genesis *Event) error {
	if err := b.vacant(); err != nil {
		return err
	}
	removeStale(filepath.Dir(b.dir))
	var random [4]byte
	if err := randomBytes(random[:]); err != nil {
		return err
	}
	b.tmp = filepath.Join(filepath.Dir(b.dir), fmt.Sprintf("%s%d-%x", newPrefix, os.Getpid(), random))
	if err := makeStoreDirs(b.tmp); err != nil {
		return err
	}
	genesis.Kind, genesis.Version, genesis.Origin.Network = KindGenesis, n.Version, n.Network
	b.meta = MetaOf(*genesis)
	b.meta.DataDir = n.DataDir
	return b.Append(genesis)
}

// vacant returns fs.ErrExist if something is where the store is to be.
func (b *Builder) vacant() error {
	_, err := os.Lstat(b.dir)
	switch {
	case err == nil:
		return &fs.PathError{Op: "create store", Path: b.dir, Err: fs.ErrExist}
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// Append adds the events as one batch, under the clocks that they have. It fills in Seq, Synced and Prev, and drops optional
// fields as Journal.Append does. After ErrTooLarge nothing was added; any other error leaves only Discard.
func (b *Builder) Append(events ...*Event) error {
	batch, head, last := b.batch[:0], b.head, b.last
	for _, ev := range events {
		last++
		ev.Seq, ev.Synced, ev.Prev = last, b.last, head
		record, err := appendFitting(b.record[:0], b.meta.ID, ev)
		if err != nil {
			return fmt.Errorf("append event %d: %w", ev.Seq, err)
		}
		batch = append(binary.AppendUvarint(batch, uint64(len(record))), record...)
		b.record, head = record, RecordHash(record)
	}
	b.batch = batch
	if len(batch) > MaxBatch {
		return fmt.Errorf("append event %d: %w: batch of %d bytes, at most %d", b.last+1, ErrTooLarge, len(batch), MaxBatch)
	}
	if len(b.rest) > 0 && len(b.rest)+len(batch) > segmentBytes {
		if err := b.writeSegment(0); err != nil {
			return err
		}
	}
	if len(b.rest) == 0 && len(batch) > 0 {
		b.first = append(b.first, b.last+1)
	}
	b.rest = append(b.rest, batch...)
	if len(events) > 0 {
		b.last, b.head, b.boot = last, head, events[len(events)-1].Boot
	}
	return nil
}

// writeSegment writes the newest segment, with some space reserved for it.
func (b *Builder) writeSegment(reserved int64) error {
	f, err := createFile(filepath.Join(b.tmp, journalName, segmentName(b.first[len(b.first)-1])))
	if err != nil {
		return err
	}
	if reserved > 0 {
		err = preallocate(f, reserved)
	}
	if err == nil {
		_, err = f.Write(b.rest)
	}
	b.rest = b.rest[:0]
	return errors.Join(err, f.Close())
}

// Last returns the newest event.
func (b *Builder) Last() Seq { return b.last }

// Head returns the hash of the newest event's record.
func (b *Builder) Head() Hash { return b.head }

// ID returns the journal's ID.
func (b *Builder) ID() ID { return b.meta.ID }

// SnapDir returns the folder that the store's snapshots belong in. Its path is good until Finish.
func (b *Builder) SnapDir() string { return filepath.Join(b.tmp, snapName) }

// Finish archives the segments whose events are all at or before covered, as Archive would, makes
// everything durable, claims the data folder and puts the store in its place. On an error nothing is left.
func (b *Builder) Finish(covered Seq) error {
	if err := b.finish(covered); err != nil {
		return errors.Join(err, b.Discard())
	}
	return b.lock.Close()
}

func (b *Builder) finish(covered Seq) error {
	if err := b.writeSegment(preallocBytes); err != nil {
		return err
	}
	for i := 0; i+1 < len(b.first) && b.first[i+1] <= covered+1; i++ {
		name := segmentName(b.first[i])
		if err := os.Rename(filepath.Join(b.tmp, journalName, name), filepath.Join(b.tmp, archiveName, name)); err != nil {
			return err
		}
	}
	if err := writeLock(filepath.Join(b.tmp, lockName), marker{state: stateIdle, id: b.meta.ID, durable: b.last,
		hash: b.head, boot: b.boot}); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(b.tmp, reserveName), make([]byte, reserveBytes)); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(b.tmp, metaName), b.meta.encode()); err != nil {
		return err
	}
	if err := syncFileSystem(b.tmp); err != nil {
		return err
	}
	return b.publish()
}

// publish does, in this order: claim, rename, sync of the folder. A store that can be seen has its claim.
func (b *Builder) publish() (err error) {
	undo, err := b.claim(b.meta.ID)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			undo()
		}
	}()
	if err := requireAt(b.lock, b.lock.Name(), b.lock.Name()); err != nil {
		return err
	}
	if err := b.vacant(); err != nil {
		return err
	}
	if err := os.Rename(b.tmp, b.dir); err != nil {
		return err
	}
	b.tmp = b.dir
	return SyncDir(filepath.Dir(b.dir))
}

// Discard removes what has been built.
func (b *Builder) Discard() error {
	var err error
	if b.tmp != "" {
		err = os.RemoveAll(b.tmp)
	}
	dropCreateLock(b.lock, b.made)
	return errors.Join(err, b.lock.Close())
}

// syncFileSystem makes everything durable that was written to the file system of a folder. For
// thousands of files that is one wait for the disk instead of thousands.
func syncFileSystem(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err = unix.Syncfs(int(d.Fd())); err != nil {
		err = &fs.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return errors.Join(err, d.Close())
}
