package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
)

// defaultPoll is how often a journal that is followed is looked at. Looking costs two small reads.
const defaultPoll = 250 * time.Millisecond

// follower goes after the events of one store.
type follower struct {
	a      *app
	s      *store
	f      *eventFilter
	out    *feed[eventItem]
	cursor journal.Seq     // the newest event that was told, or passed over as not meant
	ahead  bool            // --since names an event that is not there yet
	unread bool            // the store can't be read yet: what is there when it can is not new
	told   map[string]bool // what was said of the store's state: it may stay so for long
}

// follow tells events as they become durable, until it is interrupted. Nothing is waited for but time: the plugin tells nobody
// that it has written, and a lock would be in its way.
func (a *app) follow(f *eventFilter) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	followers, err := a.followers(f)
	if err != nil {
		return err
	}
	tick := time.NewTicker(f.poll)
	defer tick.Stop()
	for {
		for _, w := range followers {
			if err := w.look(); err != nil {
				return err
			}
		}
		if err := followers[0].out.flush(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			for _, w := range followers {
				a.say("%s: followed up to event %d; --since %d goes on from there", w.s.title(), w.cursor, w.cursor+1)
			}
			return nil
		case <-tick.C:
		}
	}
}

// followers begin where --since says, or else with what comes next. A time is looked up once; from then on there are
// only newer events.
func (a *app) followers(f *eventFilter) ([]*follower, error) {
	stores, err := a.stores()
	if err != nil {
		return nil, err
	}
	if len(stores) == 0 {
		if a.failed {
			return nil, errors.New("there is nothing to follow")
		}
		return nil, a.noStore()
	}
	out := newFeed(a, layout[eventItem]{"events", eventTable, eventCSV})
	var all []*follower
	for _, s := range stores {
		w := &follower{a: a, s: s, f: f, out: out, told: map[string]bool{}}
		for _, d := range s.doubts {
			w.sayOnce("%s", d)
		}
		switch {
		case f.sinceSeq != 0:
			w.cursor, w.ahead = f.sinceSeq-1, true
		case s.reader != nil:
			w.cursor = s.reader.Coverage().Durable
		default:
			w.unread = true
		}
		if err := w.begin(); err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	return all, out.flush()
}

// begin tells what there is since a time, with the clocks of all events known.
func (w *follower) begin() error {
	if w.f.since.IsZero() || w.s.reader == nil {
		return nil
	}
	sc := &scan{s: w.s}
	if err := sc.read(); err != nil {
		return fmt.Errorf("%s: %w", w.s.title(), err)
	}
	for item, err := range sc.items(w.f) {
		if err != nil {
			return fmt.Errorf("%s: %w", w.s.title(), err)
		}
		if err := w.out.put(item); err != nil {
			return err
		}
	}
	w.cursor = sc.last.Seq // what follows is damage, or new
	if !w.f.since.After(w.a.now) {
		later := *w.f // whatever the clock says then
		later.since = time.Time{}
		w.f = &later
	}
	return nil
}

// sayOnce says what is the matter with the store, but not each time that it is looked at.
func (w *follower) sayOnce(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !w.told[text] {
		w.told[text] = true
		w.a.say("%s: %s", w.s.title(), text)
	}
}

// missed says what can't be told, and has the exit code say so at the end.
func (w *follower) missed(format string, args ...any) {
	w.a.code = exitUnknown
	w.sayOnce(format, args...)
}

// look tells what is new. An error ends the following: nobody takes the answer any more.
func (w *follower) look() error {
	r, err := w.open()
	switch {
	case errors.Is(err, journal.ErrNoStore), errors.Is(err, fs.ErrNotExist):
		w.missed("the store is gone; waiting for it to come back")
		return nil
	case err != nil:
		w.missed("%v", err)
		return nil
	}
	if id := r.Meta().ID; w.s.meta.ID != (journal.ID{}) && id != w.s.meta.ID {
		if err := w.replaced(r); err != nil {
			return err
		}
	}
	w.s.close()
	w.s.meta, w.s.reader = r.Meta(), r
	durable := r.Coverage().Durable
	switch {
	case w.unread:
		w.cursor, w.unread = durable, false
	case durable >= w.cursor:
		w.ahead = false
	case w.ahead:
		w.sayOnce("the journal has %d events; waiting for event %d", durable, w.cursor+1)
		return nil
	default:
		w.missed("the journal ends with event %d, though event %d was there: it was put back to an earlier state", durable, w.cursor)
		w.cursor = durable
	}
	return w.tell(r, filepath.Clean(w.s.dir))
}

func (w *follower) open() (*journal.Reader, error) {
	if w.s.bare {
		past, err := archive.OpenArchive(w.s.dir)
		if err != nil {
			return nil, err
		}
		return past.Journal(), past.Close()
	}
	return journal.OpenReader(w.s.dir)
}

// replaced goes over from a journal to the one in its place. Of those between, and of the old one's last events, the
// archive of a successor tells.
func (w *follower) replaced(r *journal.Reader) error {
	old := w.s.meta.ID
	var parents []string // none where the first event is damaged, which is said below
	if past, err := archive.Over(w.s.dir, r); err == nil {
		parents, _ = past.Parents()
		_ = past.Close()
	}
	at := slices.IndexFunc(parents, func(dir string) bool { return filepath.Base(dir) == old.String() })
	if at < 0 {
		w.missed("journal %s is gone, and journal %s is in its place: what came after event %d of the old one can't be told",
			old, r.Meta().ID, w.cursor)
		w.cursor = 0
		return nil
	}
	for _, dir := range slices.Backward(parents[:at+1]) {
		kept, err := journal.OpenReader(dir)
		if err != nil {
			w.missed("%v", err)
			w.cursor = 0
			continue
		}
		w.s.meta = kept.Meta()
		if err := w.tell(kept, dir); err != nil {
			return err
		}
		w.a.say("%s: journal %s was succeeded after its event %d by another, which begins with event 1", w.s.title(), kept.Meta().ID, w.cursor)
		w.cursor = 0
	}
	return nil
}

// tell tells the events after the cursor, and what is lost of them.
func (w *follower) tell(r *journal.Reader, dir string) error {
	for rec, err := range r.Records(w.cursor) {
		if damage := new(journal.CorruptionError); errors.As(err, &damage) {
			return w.salvage(r, dir)
		}
		if err != nil {
			w.missed("%v", err)
			return nil
		}
		if err := w.event(&rec); err != nil {
			return err
		}
	}
	return nil
}

// lossText says what is lost, or was pruned.
func lossText(l *journal.Loss, dir string) error {
	if l.Pruned() != nil {
		return l.Error(dir).Cause
	}
	return l.Error(dir)
}

// salvage goes on in packed files, behind damage, and over events that were removed.
func (w *follower) salvage(r *journal.Reader, dir string) error {
	past, err := archive.Over(dir, r)
	if err != nil {
		w.missed("%v", err)
		return nil
	}
	defer past.Close()
	for piece, err := range past.Pieces(w.cursor) {
		switch {
		case err != nil:
			w.missed("%v", err)
			return nil
		case piece.Loss != nil:
			w.missed("%v", lossText(piece.Loss, dir))
			w.cursor = max(w.cursor, piece.Loss.Last)
		default:
			if err := w.event(&piece.Record); err != nil {
				return err
			}
		}
	}
	return nil
}

// event tells one event if it is meant. Its time is as recorded: what corrects it may be still to come.
func (w *follower) event(rec *journal.Record) error {
	ev := &rec.Event
	w.cursor = ev.Seq
	if !w.f.match(ev, ev.Clock.Time()) {
		return nil
	}
	item := newEvent(rec)
	item.Network, item.origin = w.s.network, w.s.origin
	item.Evidence.Node, item.Evidence.StoreID = w.s.meta.Node, w.s.meta.ID.String()
	return w.out.put(&item)
}

// feed shows items as they come, in one of the formats that need no end.
type feed[T any] struct {
	a     *app
	l     layout[T]
	csv   *csv.Writer
	table table
	cols  []column[T]
}

func newFeed[T any](a *app, l layout[T]) *feed[T] {
	out := &feed[T]{a: a, l: l, csv: csv.NewWriter(answerWriter{a}), cols: placed(a, l.table)}
	out.table = table{w: answerWriter{a}, columns: names(out.cols), colours: a.colourful(), widths: make([]int, len(out.cols))}
	return out
}

// put shows an item, after the head if it is the first.
func (out *feed[T]) put(item *T) error {
	switch out.a.output {
	case "jsonl":
		b, err := marshal(item)
		if err != nil {
			return err
		}
		_, err = answerWriter{out.a}.Write(append(b, '\n'))
		return err
	case "csv":
		if err := out.head(); err != nil {
			return err
		}
		return out.csv.Write(csvRow(make([]string, len(out.l.csv)), out.l.csv, item))
	}
	if err := out.head(); err != nil {
		return err
	}
	return out.table.flush([][]string{tableRow(out.cols, item)})
}

func (out *feed[T]) head() error {
	if out.table.headed {
		return nil
	}
	if out.a.output == "csv" {
		out.table.headed = true
		return out.csv.Write(names(out.l.csv))
	}
	return out.table.flush([][]string{heads(out.cols)})
}

// flush shows what there is by now, and the head if nothing has come yet.
func (out *feed[T]) flush() error {
	if out.a.output != "jsonl" {
		if err := out.head(); err != nil {
			return err
		}
	}
	out.csv.Flush()
	return out.csv.Error()
}
