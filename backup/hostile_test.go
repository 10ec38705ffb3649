package backup_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"

	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/leaselog/leaselog/backup"
	"github.com/leaselog/leaselog/journal"
)

// entry is a file in a tar file, with a header that may say something else.
type entry struct {
	tar.Header
	content []byte
}

// unpacked returns the manifest and the other files of a backup.
func unpacked(t testing.TB, path string) (*backup.Manifest, []entry) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	m := new(backup.Manifest)
	var entries []entry
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return m, entries
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(r)
		}
		if err == nil && h.Name == "manifest.json" {
			err = json.Unmarshal(content, m)
		} else {
			entries = append(entries, entry{*h, content})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// pack is the inverse of unpacked. Text, if it is not "", is the manifest's.
func pack(t testing.TB, path string, m *backup.Manifest, text string, entries []entry) {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	if text == "" {
		all, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		text = string(all)
	}
	put := func(h *tar.Header, content []byte) {
		err := w.WriteHeader(h)
		if err == nil && h.Size > 0 {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(&tar.Header{Name: "manifest.json", Size: int64(len(text)), Mode: 0o600}, []byte(text))
	for _, e := range entries {
		put(&e.Header, e.content)
	}
	if err := errors.Join(w.Close(), z.Close(), os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestHostile: whatever a backup file may be, there is one error and nothing is made, inside of the folder or out.
func TestHostile(t *testing.T) {
	dataDir := t.TempDir()
	s := made(t, dataDir, "net", 100)
	file := filepath.Join(t.TempDir(), "good")
	if _, err := backup.Write(file, []string{s.Dir()}, backup.Options{}); err != nil {
		t.Fatal(err)
	}
	digest := func(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }
	at := func(m *backup.Manifest, part string) int {
		for i, f := range m.Stores[0].Files {
			if strings.Contains(f.Name, part) {
				return i
			}
		}
		t.Fatalf("no file %q", part)
		return 0
	}
	// renamed has a file under another name, in the manifest and out of it.
	renamed := func(name string) func(*backup.Manifest, []entry) (string, []entry) {
		return func(m *backup.Manifest, es []entry) (string, []entry) {
			i := at(m, "snap/")
			m.Stores[0].Files[i].Name = name
			if es[i].Format = tar.FormatUnknown; name != "" {
				es[i].Name = "stores/net/" + name
			}
			return "", es
		}
	}
	// typed has one of the files as something else.
	typed := func(kind byte, link string) func(*backup.Manifest, []entry) (string, []entry) {
		return func(m *backup.Manifest, es []entry) (string, []entry) {
			i := at(m, "snap/")
			es[i].Typeflag, es[i].Linkname, es[i].Size = kind, link, 0
			return "", es
		}
	}
	lies := func(lie func(*backup.Stored)) func(*backup.Manifest, []entry) (string, []entry) {
		return func(m *backup.Manifest, es []entry) (string, []entry) { lie(&m.Stores[0]); return "", es }
	}
	cases := []struct {
		name string
		edit func(*backup.Manifest, []entry) (string, []entry)
		want string
	}{
		{"path traversal", renamed("../../../evil"), "is no file of a store"},
		{"path traversal inside", renamed("archive/../../evil"), "is no file of a store"},
		{"absolute name", renamed("/tmp/evil"), "is no file of a store"},
		{"another folder", renamed("evil/x"), "is no file of a store"},
		{"no name", renamed(""), "is no file of a store"},
		{"control byte", renamed("snap/\x1b[2J"), "is no file of a store"},
		{"a file as a folder", renamed("META/x"), "is no file of a store"},
		{"long name", renamed("snap/" + strings.Repeat("x", 600)), "is no file of a store"},
		{"symbolic link", typed(tar.TypeSymlink, "/etc"), "something else than its manifest says"},
		{"hard link", typed(tar.TypeLink, "/etc/passwd"), "something else than its manifest says"},
		{"device", typed(tar.TypeChar, ""), "something else than its manifest says"},
		{"pipe", typed(tar.TypeFifo, ""), "something else than its manifest says"},
		{"folder", typed(tar.TypeDir, ""), "something else than its manifest says"},
		{"network of another folder", lies(func(s *backup.Stored) { s.Network = "../net" }), "no name of a network"},
		{"hidden network", lies(func(s *backup.Stored) { s.Network = ".net" }), "no name of a network"},
		{"huge", lies(func(s *backup.Stored) { s.Files[0].Bytes = 1 << 60 }), "something else than its manifest says"},
		{"huge in all", lies(func(s *backup.Stored) { s.Files[0].Bytes, s.Files[1].Bytes = 1<<63-1, 1<<63-1 }), "bytes"},
		{"negative", lies(func(s *backup.Stored) { s.Files[0].Bytes = -1 }), "-1 bytes"},
		{"no digest", lies(func(s *backup.Stored) { s.Files[0].SHA256 = "" }), "no digest"},
		{"no events", lies(func(s *backup.Stored) { s.LastSeq = 0 }), "names no events"},
		{"more events", lies(func(s *backup.Stored) { s.LastSeq++ }), "is not what the manifest says"},
		{"another head", lies(func(s *backup.Stored) { s.Head = digest(nil) }), "is not what the manifest says"},
		{"another journal", lies(func(s *backup.Stored) { s.Journal = journal.ID{9}.String() }), "is not what the manifest says"},
		{"file twice", func(m *backup.Manifest, es []entry) (string, []entry) {
			st := &m.Stores[0]
			st.Files = append(st.Files, st.Files[0])
			return "", append(es, es[0])
		}, "twice"},
		{"network twice", func(m *backup.Manifest, es []entry) (string, []entry) {
			m.Stores = append(m.Stores, m.Stores[0])
			return "", append(es, es...)
		}, "twice"},
		{"one more file", func(m *backup.Manifest, es []entry) (string, []entry) { return "", append(es, es[0]) }, "goes on after its last file"},
		{"one file less", func(m *backup.Manifest, es []entry) (string, []entry) { return "", es[:len(es)-1] }, "unexpected EOF"},
		{"another content", func(m *backup.Manifest, es []entry) (string, []entry) {
			es[at(m, "snap/")].content[0] ^= 1
			return "", es
		}, "another digest"},
		{"damage with its digest", func(m *backup.Manifest, es []entry) (string, []entry) {
			i := at(m, "journal/")
			es[i].content[200] ^= 1
			m.Stores[0].Files[i].SHA256 = digest(es[i].content)
			return "", es
		}, "is damaged"},
		{"a snapshot of another course", func(m *backup.Manifest, es []entry) (string, []entry) {
			i := at(m, "snap/")
			es[i].content = es[i].content[:len(es[i].content)-4096]
			es[i].Size = int64(len(es[i].content))
			m.Stores[0].Files[i].Bytes, m.Stores[0].Files[i].SHA256 = es[i].Size, digest(es[i].content)
			return "", es
		}, "is damaged"},
		{"without META", func(m *backup.Manifest, es []entry) (string, []entry) {
			i := at(m, "META")
			m.Stores[0].Files = append(m.Stores[0].Files[:i], m.Stores[0].Files[i+1:]...)
			return "", append(es[:i], es[i+1:]...)
		}, "has no META"},
		{"newer", func(m *backup.Manifest, es []entry) (string, []entry) {
			return `{"format":7,"min_reader":7,"stores":"in another way"}`, nil
		}, "for version 7 and up"},
		{"no manifest", func(m *backup.Manifest, es []entry) (string, []entry) { return "[]", es }, "manifest"},
		{"empty manifest", func(m *backup.Manifest, es []entry) (string, []entry) { return "{}", es }, "names no format"},
		{"no store", func(m *backup.Manifest, es []entry) (string, []entry) { m.Stores = nil; return "", nil }, "names no store"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "bad")
			m, es := unpacked(t, file)
			text, es := c.edit(m, es)
			pack(t, bad, m, text, es)
			refused(t, bad, c.want)
		})
	}
}

// refused wants a restore to fail with one line, and to make nothing.
func refused(t *testing.T, file, want string) {
	t.Helper()
	root := t.TempDir()
	_, err := backup.Restore(file, backup.RestoreOptions{DataDir: filepath.Join(root, "a", "networks"), AllowNetworkFS: true})
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), filepath.Base(file)) {
		t.Errorf("%v; want one line of %s with %q", err, filepath.Base(file), want)
	}
	if left, _ := os.ReadDir(root); len(left) > 0 {
		t.Errorf("something was made:\n%s", tree(t, root))
	}
}

// TestCut: a backup file that ends early, or has a bit flipped anywhere, is refused or as good as the whole one.
func TestCut(t *testing.T) {
	s := made(t, t.TempDir(), "net", 100)
	file := filepath.Join(t.TempDir(), "good")
	want, err := backup.Write(file, []string{s.Dir()}, backup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	step := max(1, len(whole)/100)
	for n := 0; n < len(whole); n += step {
		if err := os.WriteFile(bad, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Check(bad); err == nil {
			t.Errorf("cut at byte %d of %d: nothing said", n, len(whole))
		}
	}
	flipped := 0
	for n := 0; n < len(whole); n += step {
		b := bytes.Clone(whole)
		b[n] ^= 1 << (n % 8)
		if err := os.WriteFile(bad, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := backup.Check(bad); err == nil {
			if m.Stores[0].Head != want.Stores[0].Head {
				t.Errorf("bit flipped in byte %d: nothing said", n)
			}
			flipped++
		}
	}
	if flipped > 3 {
		t.Errorf("%d flipped bits of 100 make no difference", flipped)
	}
	if err := os.WriteFile(bad, append(bytes.Clone(whole), "and more"...), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, bad, "")
	if _, err := backup.Restore(filepath.Dir(bad), backup.RestoreOptions{DataDir: t.TempDir()}); err == nil {
		t.Error("a folder was restored")
	}
}
