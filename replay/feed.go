package replay

import (
	"iter"
	"sync"

	"github.com/leaselog/leaselog/journal"
)

// feed reads events ahead, on a goroutine of its own.
type feed struct {
	records func() iter.Seq2[journal.Record, error]
	until   journal.Seq // the last event that is handed out
	size    int         // events of a chunk, whether they stand in it or not

	started bool
	full    chan *chunk
	free    chan *chunk
	done    chan struct{}
	running sync.WaitGroup
	err     error // why full was closed; read behind that alone
}

// chunk is a row of events: those that begin or end leases, and where the row ends.
type chunk struct {
	events []journal.Event
	last   mark
}

const (
	chunkEvents = 1024
	chunksAhead = 3
)

func newFeed(records func() iter.Seq2[journal.Record, error], until journal.Seq, size int) *feed {
	f := &feed{records: records, until: until, size: size, full: make(chan *chunk, chunksAhead), free: make(chan *chunk, chunksAhead+2),
		done: make(chan struct{})}
	for range chunksAhead + 2 {
		f.free <- &chunk{}
	}
	return f
}

// take returns the next chunk, nil behind the last one.
func (f *feed) take() (*chunk, error) {
	if !f.started {
		f.started = true
		f.running.Go(f.run)
	}
	c, ok := <-f.full
	if !ok {
		return nil, f.err
	}
	return c, nil
}

// give hands a chunk back that is not used any more.
func (f *feed) give(c *chunk) { f.free <- c }

// stop ends the reading.
func (f *feed) stop() {
	select {
	case <-f.done:
	default:
		close(f.done)
	}
	f.running.Wait()
}

func (f *feed) run() {
	defer close(f.full)
	var c *chunk
	n := 0
	for rec, err := range f.records() {
		if err != nil {
			f.err = err
			return
		}
		if c == nil {
			select {
			case c = <-f.free:
				clear(c.events)
				c.events, n = c.events[:0], 0
			case <-f.done:
				return
			}
		}
		switch rec.Event.Kind {
		case journal.KindAdd, journal.KindImport, journal.KindDel, journal.KindRelease, journal.KindReset:
			c.events = append(c.events, rec.Event)
		}
		c.last = mark{rec.Event.Seq, rec.Event.Clock}
		over := rec.Event.Seq >= f.until
		if n++; n == f.size || over {
			select {
			case f.full <- c:
			case <-f.done:
				return
			}
			c = nil
		}
		if over {
			return
		}
	}
	if c != nil {
		select {
		case f.full <- c:
		case <-f.done:
		}
	}
}
