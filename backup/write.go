package backup

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/leaselog/leaselog/journal"
)

// writing is what scratch folders of backups are called: they are beside the file.
const writing = ".leaselog-backup-"

// window bounds the memory that packing and unpacking take. Most of a long history is packed files, which nothing makes smaller.
const window = 1 << 20

// Options say how a backup is made.
type Options struct {
	CopyOptions
	Version string // of the program
}

// Write makes a backup file of the stores in these folders. The file is durable, name included, when the error is nil, and has been read
// back: each file in it has the digest that the manifest says. It returns fs.ErrExist if there is a file. On an error nothing is left.
//
// It does, in a folder beside the file: copy the stores, write, fsync, read all; then rename, fsync of the folder.
func Write(path string, stores []string, o Options) (*Manifest, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, &fs.PathError{Op: "write backup", Path: path, Err: fs.ErrExist}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s, err := newScratch(filepath.Dir(path), writing)
	if err != nil {
		return nil, err
	}
	m, err := s.write(path, stores, o)
	return m, errors.Join(err, s.Close())
}

func (s *scratch) write(path string, stores []string, o Options) (*Manifest, error) {
	m, err := s.gather(stores, o)
	if err != nil {
		return nil, err
	}
	tmp := filepath.Join(s.dir, "backup")
	f, err := newFile(tmp)
	if err != nil {
		return nil, err
	}
	if err = s.pack(f, m); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	if _, err := Check(tmp); err != nil {
		return nil, fmt.Errorf("read back %s: %w", path, err)
	}
	if err := renameNew(tmp, path); err != nil {
		return nil, err
	}
	if err := journal.SyncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return m, nil
}

// Stream writes a backup to w, which can't be read back. The folder takes the copies for the while.
func Stream(w io.Writer, folder string, stores []string, o Options) (*Manifest, error) {
	s, err := newScratch(folder, writing)
	if err != nil {
		return nil, err
	}
	m, err := s.gather(stores, o)
	if err == nil {
		err = s.pack(w, m)
	}
	return m, errors.Join(err, s.Close())
}

// gather copies the stores and describes the copies.
func (s *scratch) gather(stores []string, o Options) (*Manifest, error) {
	node, err := os.Hostname()
	if err != nil {
		node = "" // a name is a help to readers, not a need
	}
	m := &Manifest{Format: formatVersion, MinReader: formatVersion, Version: o.Version, Time: time.Now().UTC(), Node: node}
	for _, from := range stores {
		meta, err := journal.ReadMeta(from)
		if err != nil {
			return nil, err
		}
		if !validNetwork(meta.Network) || m.Store(meta.Network) != nil {
			return nil, fmt.Errorf("%s: a backup holds one store of a network: %q", from, meta.Network)
		}
		to := s.storeDir(meta.Network)
		c, err := Copy(from, to, o.CopyOptions)
		if err != nil {
			return nil, err
		}
		st, err := stored(c, to)
		if err != nil {
			return nil, err
		}
		m.Stores = append(m.Stores, st)
	}
	return m, nil
}

// pack writes the copies and their manifest.
func (s *scratch) pack(w io.Writer, m *Manifest) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	if err := packFile(t, manifestName, m.Time, int64(len(text)), bytes.NewReader(text)); err != nil {
		return err
	}
	for i := range m.Stores {
		st := &m.Stores[i]
		for _, file := range st.Files {
			f, err := os.Open(filepath.Join(s.storeDir(st.Network), filepath.FromSlash(file.Name)))
			if err != nil {
				return err
			}
			if err := errors.Join(packFile(t, st.nameOf(file), st.Taken, file.Bytes, f), f.Close()); err != nil {
				return err
			}
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// nameOf is a file's name in a backup.
func (s *Stored) nameOf(f File) string { return storesName + "/" + s.Network + "/" + f.Name }

func packFile(t *tar.Writer, name string, at time.Time, size int64, r io.Reader) error {
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: size, ModTime: at.Truncate(time.Second)}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := io.Copy(t, r); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// renameNew gives a file its name, which nothing may have.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // not on this file system
		if err := os.Link(from, to); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTSUP) {
			return err
		}
		if _, err := os.Lstat(to); err == nil {
			return &fs.PathError{Op: "write backup", Path: to, Err: fs.ErrExist}
		}
		return os.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
