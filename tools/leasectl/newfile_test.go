package main

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestUnfinishedFile: a run that is ended leaves nothing of a file that was not whole, also where its terminal is closed.
func TestUnfinishedFile(t *testing.T) {
	dataDir, folder := t.TempDir(), t.TempDir()
	appendTo(t, dataDir, "1 config subnet=10.0.0.0/24\n1 add id=c1 ip=10.0.0.2/24 config=2\n")
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
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
