package main

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestUnfinishedFile: a run that is ended leaves nothing of a file that was not whole, also where its terminal is closed, or where it is killed
// and the file system has files without a name.
func TestUnfinishedFile(t *testing.T) {
	dataDir, folder := t.TempDir(), t.TempDir()
	appendTo(t, dataDir, "1 config subnet=10.0.0.0/24\n1 add id=c1 ip=10.0.0.2/24 config=2\n")
	signals := []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}
	if f := nameless(folder); f != nil {
		f.Close()
		signals = append(signals, syscall.SIGKILL)
	}
	for _, sig := range signals {
		cmd, _ := command(t, "join", "-", "--ip", "ip", "--time", "time", "--out", filepath.Join(folder, "out.csv"), "--data-dir", dataDir)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() }) // what never comes ends the writing
		rows := bytes.Repeat([]byte("2026-01-01T00:00:01Z,10.0.0.2\n"), 3*joinBuffer/30)
		if _, err := in.Write(append([]byte("time,ip\n"), rows...)); err != nil { // more than it reads before it makes the file
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if cmd.Wait(); cmd.ProcessState.Success() {
			t.Errorf("after %v: done", sig)
		}
		late.Stop()
		if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
			t.Errorf("after %v: %v %v", sig, left, err)
		}
	}
}

// TestNewFile: a file is there once it is finished and not before, for its owner alone, and takes no place that was filled meanwhile; with and
// without a name until then.
func TestNewFile(t *testing.T) {
	kinds := []bool{true}
	if f := nameless(t.TempDir()); f != nil {
		f.Close()
		kinds = append(kinds, false)
	}
	for _, named := range kinds {
		folder := t.TempDir()
		make := func(base string) *newFile {
			path := filepath.Join(folder, base)
			o := &newFile{file: nameless(folder), path: path}
			if named {
				var err error
				if o.file, err = os.CreateTemp(folder, besideName(path, "-*")); err != nil {
					t.Fatal(err)
				}
				o.name = o.file.Name()
			}
			o.w = o.file
			if _, err := o.w.Write([]byte("content")); err != nil {
				t.Fatal(err)
			}
			return o
		}
		o := make("file")
		if _, err := os.Lstat(o.path); err == nil {
			t.Errorf("named %v: there before it is finished", named)
		}
		if err := o.finish(); err != nil {
			t.Errorf("named %v: %v", named, err)
		}
		o.discard()
		st, err := os.Stat(o.path)
		if b, readErr := os.ReadFile(o.path); err != nil || readErr != nil || st.Mode() != 0o600 || string(b) != "content" {
			t.Errorf("named %v: got %v %q, %v %v", named, st, b, err, readErr)
		}
		o = make("file")
		if err := o.finish(); err == nil || err.Error() != o.path+" exists already" {
			t.Errorf("named %v: in a place that is filled: %v", named, err)
		}
		o.discard()
		if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
			t.Errorf("named %v: left %v, %v", named, left, err)
		}
	}
}
