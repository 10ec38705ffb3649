package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// Errors of what is no backup, or none any more; all come with what is wrong and the file's name.
var (
	errNoBackup = errors.New("not a backup file of leaselog")
	errEntry    = errors.New("holds something else than its manifest says")
	errDigest   = errors.New("has another digest than the manifest says")
	errTrailing = errors.New("goes on after its last file")
)

// Check reads a backup file whole, and returns its manifest if each file in it has the digest that this says. It writes nothing.
func Check(path string) (*Manifest, error) {
	f, err := openBackup(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return unpack(f, discard)
}

// openBackup opens a backup file, which has to be one that can be read twice.
func openBackup(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a named pipe must not be waited for
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s: %w: not a file", path, errNoBackup), err, f.Close())
	}
	return f, nil
}

// receiver takes in a file of a backup: it reads r to its end.
type receiver func(s *Stored, f File, r io.Reader) error

func discard(_ *Stored, _ File, r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// unpack hands the files of a backup to take, in order, and checks each against the manifest. Nothing is asked of take but what the manifest
// has, so that no name, kind or size that a tar file may have is ever followed. Where its error is not nil, what take was given counts for nothing.
func unpack(f *os.File, take receiver) (m *Manifest, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", f.Name(), err)
		}
	}()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoBackup, err)
	}
	defer z.Close()
	t := tar.NewReader(z)
	if m, err = readManifest(t); err != nil {
		return nil, err
	}
	for i := range m.Stores {
		s := &m.Stores[i]
		for _, file := range s.Files {
			if err := unpackFile(t, s, file, take); err != nil {
				return nil, err
			}
		}
	}
	if h, err := t.Next(); err == nil {
		return nil, fmt.Errorf("%w: %.100q", errTrailing, h.Name)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return m, endOf(z)
}

// endOf reads what follows a tar file, which is nothing or zeros, and with it the checksum behind the last frame.
func endOf(r io.Reader) error {
	var room [32 << 10]byte
	for limit := 1 << 20; limit > 0; {
		n, err := r.Read(room[:])
		for _, b := range room[:n] {
			if b != 0 {
				return errTrailing
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		limit -= n
	}
	return errTrailing
}

func readManifest(t *tar.Reader) (*Manifest, error) {
	h, err := t.Next()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoBackup, err)
	}
	if h.Name != manifestName || !plain(h) {
		return nil, fmt.Errorf("%w: begins with %.100q", errNoBackup, h.Name)
	}
	if h.Size > manifestLimit {
		return nil, fmt.Errorf("%w: a manifest of %d bytes", errNoBackup, h.Size)
	}
	text, err := io.ReadAll(io.LimitReader(t, manifestLimit))
	if err != nil {
		return nil, err
	}
	return parseManifest(text)
}

// plain reports whether an entry is a file that stands there byte for byte.
func plain(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse") {
			return false
		}
	}
	return h.Typeflag == tar.TypeReg
}

// unpackFile reads the next file, which has to be the one that the manifest says.
func unpackFile(t *tar.Reader, s *Stored, file File, take receiver) error {
	h, err := t.Next()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", s.nameOf(file), io.ErrUnexpectedEOF)
	}
	if err != nil {
		return err
	}
	if h.Name != s.nameOf(file) || h.Size != file.Bytes || !plain(h) {
		return fmt.Errorf("%w: %.100q of %d bytes, want %q of %d", errEntry, h.Name, h.Size, s.nameOf(file), file.Bytes)
	}
	sum := sha256.New()
	if err := take(s, file, io.TeeReader(t, sum)); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != strings.ToLower(file.SHA256) {
		return fmt.Errorf("%s: %w", h.Name, errDigest)
	}
	return nil
}

// into returns a receiver that writes the files of some stores into folders of a scratch folder.
func (s *scratch) into(wanted func(network string) bool) receiver {
	return func(st *Stored, f File, r io.Reader) error {
		if !wanted(st.Network) {
			return discard(st, f, r)
		}
		path := filepath.Join(s.storeDir(st.Network), filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		out, err := newFile(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, r)
		return errors.Join(err, out.Close())
	}
}

// storeDir is where a network's store is unpacked, or copied to.
func (s *scratch) storeDir(network string) string { return filepath.Join(s.dir, network+".store") }
