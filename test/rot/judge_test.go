package rot_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/state"
)

// judge holds everything that was seen against the oracle and says what the case came to.
func (w *worker) judge(j job, before looked, c called) (outcome, error) {
	p := w.f.predict(j, w.content(j.file, j.mode)).settle(j.mode, c)
	if err := w.judgeLooks(p, before); err != nil {
		return 0, err
	}
	if p.calls == refuse {
		return namedToCalls, w.judgeRefusal(j, p, c)
	}
	told, err := w.judgeCalls(j, p, c)
	if err != nil {
		return 0, err
	}
	switch {
	case p.calls == repair:
		return repaired, nil
	case p.calls == reset:
		return wiped, nil
	case told > 0:
		return replaced, nil
	case p.state < lastEvent && j.mode == modeWriting:
		return unacknowledged, nil
	case p.state < lastEvent:
		return unwitnessed, nil
	case p.historyAt != nil:
		return namedToHistory, nil
	}
	return harmless, nil
}

// settle makes up the oracle's mind about bytes of any kind behind the journal's end by what the calls
// did: cut them or refuse. All readers have to agree with that.
func (p prediction) settle(m mode, c called) prediction {
	if p.calls != either {
		return p
	}
	if c.addErr == nil {
		p.calls = repair
		return p
	}
	p.calls = refuse
	switch {
	case m == modeLive: // events are told by the marker; STATUS looks behind them
		p.statusAt = p.callsAt
	case !m.here():
		p.historyAt, p.looksAt, p.statusAt = p.callsAt, p.callsAt, p.callsAt
	}
	return p
}

func (w *worker) judgeLooks(p prediction, l looked) error {
	if l.stray != "" {
		return errors.New("reader: " + l.stray)
	}
	if l.history != p.history || len(l.added) > 0 {
		return fmt.Errorf("reader: %d events and %d more, want %d; end: %v", l.history, len(l.added), p.history, l.end)
	}
	if err := p.historyAt.check(w.root, l.end); err != nil {
		return fmt.Errorf("reader of the history: %w", err)
	}
	if err := p.statusAt.check(w.root, l.statusErr); l.status && err != nil {
		return fmt.Errorf("STATUS: %w", err)
	}
	for _, c := range l.checks {
		name := asked[c.who].ContainerID
		if err := p.looksAt.check(w.root, c.err); err != nil {
			return fmt.Errorf("CHECK of %s: %w", name, err)
		}
		var want []state.Lease
		if p.looksAt == nil && p.calls != reset {
			want = w.m.held[p.looks][c.who]
		}
		if !slices.Equal(c.held, want) {
			return fmt.Errorf("CHECK of %s: %v, want %v", name, c.held, want)
		}
	}
	return nil
}

// judgeRefusal is about damage that calls have to name. They may not have touched anything.
func (w *worker) judgeRefusal(j job, p prediction, c called) error {
	if err := p.callsAt.check(w.root, c.addErr); err != nil {
		return fmt.Errorf("ADD: %w", err)
	}
	if err := p.callsAt.check(w.root, c.delErr); err != nil {
		return fmt.Errorf("DEL: %w", err)
	}
	return w.unchanged(j)
}

// judgeCalls is about calls that succeed. It returns how many repairs they recorded.
func (w *worker) judgeCalls(j job, p prediction, c called) (told int, err error) {
	if err := errors.Join(c.addErr, c.delErr); err != nil {
		return 0, fmt.Errorf("ADD and DEL: %w", err)
	}
	want := w.m.reset
	if p.calls != reset {
		want = w.m.after[p.state]
	}
	if s := want[j.script]; !reflect.DeepEqual(c.choice, s.choice) {
		return 0, fmt.Errorf("ADD got %v, want %v", c.choice, s.choice)
	}
	if p.historyAt == nil {
		if told, err = w.judgeEvents(j, p, want[j.script].events); err != nil {
			return 0, err
		}
	}
	for _, c := range w.check(j) {
		if held := timeless(c.held); c.err != nil || !slices.Equal(held, want[j.script].held[c.who]) {
			return 0, fmt.Errorf("afterwards %s holds %v (%v), want %v", asked[c.who].ContainerID, held, c.err, want[j.script].held[c.who])
		}
	}
	return told, w.othersUntouched(j, p, told)
}

// judgeEvents holds what was recorded against the script; a repair has to tell what was cut or set aside.
func (w *worker) judgeEvents(j job, p prediction, want []journal.Event) (told int, err error) {
	l, err := w.newEvents(p.state)
	if err != nil {
		return 0, err
	}
	var got []journal.Event
	for _, rec := range l.added {
		if rec.Event.Kind == journal.KindRepair {
			told++
			if err := w.judgeRepair(j, p, &rec.Event); err != nil {
				return 0, fmt.Errorf("repair event %d: %w", rec.Event.Seq, err)
			}
			continue
		}
		got = append(got, portable(rec.Event))
	}
	if !reflect.DeepEqual(got, want) {
		return 0, fmt.Errorf("recorded\n%+v, want\n%+v", got, want)
	}
	due := p.calls == repair || p.calls == setAside
	if due != (told == 1) || told > 1 {
		return 0, fmt.Errorf("%d repairs were told, want one: %t", told, due)
	}
	return told, nil
}

func (w *worker) judgeRepair(j job, p prediction, ev *journal.Event) error {
	kept := j.damage.apply(w.content(j.file, j.mode))
	want := journal.Cut{File: filepath.Base(j.file), Quarantine: ev.Cut.Quarantine}
	if p.calls == repair {
		want.Offset, want.Bytes = int64(p.from), int64(p.to-p.from)
		kept = kept[p.from:p.to]
	}
	if !reflect.DeepEqual(ev.Cut, want) || ev.Text == "" {
		return fmt.Errorf("tells %+v (%q), want %+v", ev.Cut, ev.Text, want)
	}
	got, err := os.ReadFile(filepath.Join(w.path(quarDir), ev.Cut.Quarantine))
	if err == nil && !bytes.Equal(got, kept) {
		err = errors.New("quarantine holds other bytes")
	}
	return err
}

// othersUntouched checks that calls changed no file but those that they have to.
func (w *worker) othersUntouched(j job, p prediction, told int) error {
	entries, err := os.ReadDir(w.path(quarDir))
	if err != nil {
		return err
	}
	want := told
	for _, name := range w.f.names {
		if strings.HasPrefix(name, quarDir) && !(name == j.file && j.damage.kind == remove) {
			want++
		}
	}
	if len(entries) != want {
		return fmt.Errorf("%d files in quarantine/, want %d", len(entries), want)
	}
	st, err := os.Stat(w.path(lockFile))
	if err != nil {
		return err
	}
	if st.Size() != markerBytes {
		return fmt.Errorf("the marker has %d bytes afterwards", st.Size())
	}
	if p.calls == setAside && told > 0 {
		if _, err := os.Stat(w.path(j.file)); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is still there: %v", j.file, err)
		}
	}
	return nil
}
