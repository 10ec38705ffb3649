package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// command is a process to run as a runtime runs a plugin: input in a pipe, nothing else inherited.
type command struct {
	path  string
	args  []string // after the path
	env   []string
	input []byte // at most pipeBytes
	extra *os.File
}

// answer is what became of a command.
type answer struct {
	took           time.Duration // from before the fork until the process was reaped
	exit           int           // -1 if a signal ended it
	stdout, stderr []byte
}

// pipeBytes is what a pipe takes without a reader. The input is written before the process is
// started, and the output read after it has ended, so that nothing of ours runs beside it.
const pipeBytes = 60 << 10

// run starts c, waits for its end and says how long that took. The error says that it could not be run.
func (c *command) run() (answer, error) {
	if len(c.input) > pipeBytes {
		return answer{}, fmt.Errorf("input of %d bytes, at most %d fit a pipe", len(c.input), pipeBytes)
	}
	var p pipes
	defer p.close()
	if err := p.open(c.input); err != nil {
		return answer{}, err
	}
	files := []uintptr{p.in.read.Fd(), p.out.write.Fd(), p.err.write.Fd()}
	if c.extra != nil {
		files = append(files, c.extra.Fd())
	}
	attr := &syscall.ProcAttr{Env: c.env, Files: files}
	argv := append([]string{c.path}, c.args...)
	var status syscall.WaitStatus
	start := time.Now()
	pid, err := syscall.ForkExec(c.path, argv, attr)
	if err != nil {
		return answer{}, fmt.Errorf("start %s: %w", c.path, err)
	}
	for {
		_, err = syscall.Wait4(pid, &status, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	a := answer{took: time.Since(start), exit: status.ExitStatus()}
	if err != nil {
		return answer{}, fmt.Errorf("wait for %s: %w", c.path, err)
	}
	a.stdout, a.stderr, err = p.collect()
	return a, err
}

// pipes are the three of a process.
type pipes struct{ in, out, err pipe }

type pipe struct{ read, write *os.File }

func (p *pipes) open(input []byte) (err error) {
	for _, end := range []*pipe{&p.in, &p.out, &p.err} {
		if end.read, end.write, err = os.Pipe(); err != nil {
			return err
		}
	}
	if _, err := p.in.write.Write(input); err != nil {
		return err
	}
	return p.in.write.Close()
}

// collect reads what the process, which has ended, has written.
func (p *pipes) collect() (stdout, stderr []byte, err error) {
	if err := errors.Join(p.out.write.Close(), p.err.write.Close()); err != nil {
		return nil, nil, err
	}
	stdout, err1 := io.ReadAll(p.out.read)
	stderr, err2 := io.ReadAll(p.err.read)
	return bytes.TrimSpace(stdout), bytes.TrimSpace(stderr), errors.Join(err1, err2)
}

// close closes what is open; the errors of what was closed before say nothing.
func (p *pipes) close() {
	for _, end := range []pipe{p.in, p.out, p.err} {
		for _, f := range []*os.File{end.read, end.write} {
			if f != nil {
				_ = f.Close()
			}
		}
	}
}
