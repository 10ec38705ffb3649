package replay

import (
	"iter"
	"net/netip"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/state"
)

// Confirm is what Verify makes of several looks at a store.
func Confirm(look func() (*Verified, error)) (*Verified, error) { return confirm(look) }

// Detached returns a lease with strings of its own.
func Detached(l state.Lease) state.Lease { return *detached(&l) }

// ReadAhead has the sweep read so many events at a time, from the beginning.
func (s *Sweep) ReadAhead(events int) {
	s.ahead = events
	s.rewind()
}

// KeepEnded has the sweep keep so many leases that ended, at most, beside those read ahead.
func (s *Sweep) KeepEnded(leases int) { s.kept = leases }

// LastPoint returns the last event that the journal tells.
func (s *Sweep) LastPoint() Point { return s.survey.h.Last }

// MeasureRecords is Measure of all these records.
func MeasureRecords(records iter.Seq2[journal.Record, error], clocks *Clocks, q Asked, wiped bool) (Use, error) {
	u := newUsing(clocks, q, wiped)
	for rec, err := range records {
		if err == nil {
			err = u.take(&rec)
		}
		if err != nil {
			return Use{}, err
		}
	}
	return u.used()
}

// ReadPartOn is ReadPart that reads on for so many events rather than look for ends.
func ReadPartOn(past *archive.Reader, o Options, on journal.Seq) (*History, error) {
	return readPart(past, o, on)
}

// State says what an address is that nobody holds.
func (f *InForce) State(ip netip.Addr) State { return stateIn(f.Known, f.Partial, f.Ranges, ip) }
