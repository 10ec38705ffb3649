package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestProgress: nothing is told in the first second, then a line now and then, which is wiped away before other words.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	at := epoch
	a := &app{stderr: &out, stdout: &out}
	a.bar = &progress{w: &out, now: func() time.Time { return at }, begun: at}
	steps := []struct {
		name string
		pass time.Duration
		do   func()
		want string
	}{
		{"early", 999 * time.Millisecond, func() { a.bar.tell("reading", 1, 10) }, ""},
		{"nothing to hide", 0, func() { a.say("x") }, "leasectl: x\n"},
		{"late", time.Millisecond, func() { a.bar.tell("reading", 2, 10) }, "\r\x1b[Kreading: 2 of 10 (20%)"},
		{"too soon again", 199 * time.Millisecond, func() { a.bar.tell("reading", 3, 10) }, ""},
		{"again", time.Millisecond, func() { a.bar.tell("reading\x1b", 4, 0) }, "\r\x1b[Kreading\\x1b: 4"},
		{"words", 0, func() { a.say("y") }, "\r\x1b[Kleasectl: y\n"},
		{"hidden already", 0, func() { a.say("z") }, "leasectl: z\n"},
		{"once more", time.Second, func() { a.bar.tell("reading", 5, 10) }, "\r\x1b[Kreading: 5 of 10 (50%)"},
		{"an answer", 0, func() { _, _ = answerWriter{a}.Write([]byte("row\n")) }, "\r\x1b[Krow\n"},
	}
	for _, step := range steps {
		out.Reset()
		at = at.Add(step.pass)
		step.do()
		if got := out.String(); got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
	var none *progress
	none.tell("nothing", 1, 1)
	none.hide()
}

// TestProgressDuring: a work that doesn't say how far it is is told of by time, and the line is gone when it is done.
func TestProgressDuring(t *testing.T) {
	told, out := make(chan bool), ""
	begun := epoch
	p := &progress{w: writerFunc(func(text string) {
		if out += text; strings.HasPrefix(text, wipeLine+"packing, seconds: ") {
			select {
			case told <- true:
			default: // it was told often enough
			}
		}
	}), now: func() time.Time {
		begun = begun.Add(time.Second)
		return begun
	}, begun: epoch}
	if err := p.during("packing", func() error { <-told; return errNotRegular }); !errors.Is(err, errNotRegular) {
		t.Errorf("got %v", err)
	}
	if !strings.HasSuffix(out, wipeLine) {
		t.Errorf("got %q", out)
	}
}

type writerFunc func(string)

func (w writerFunc) Write(b []byte) (int, error) {
	w(string(b))
	return len(b), nil
}
