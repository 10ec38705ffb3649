package oracle

import (
	"net/netip"
	"slices"
)

// Row is a lease of the table at an instant.
type Row struct {
	*Interval
	Certain bool // held at every candidate and possible position, and its use is certain at the candidates
}

// nobodys is an address that no store speaks of.
func nobodys() netip.Addr { return netip.MustParseAddr("203.0.113.9") }

// Table is what was held at an instant.
type Table struct {
	Rows      []Row // by address, then start
	Uncertain bool
	Unknown   bool // it may not be all that was held
}

// At returns the leases that are held at some candidate or possible position. It is not known whether they are all of
// them where events are lost, and behind them until a reset or a snapshot.
func (p *Past) At(q Question) Table {
	var t Table
	q = Question{At: q.At, Now: q.Now}
	for _, ip := range p.Store.Addresses() {
		for _, h := range p.holders(ip, q) {
			t.Rows = append(t.Rows, Row{h.Interval, h.Certain && h.Always})
			t.Uncertain = t.Uncertain || !h.Certain || !h.Always
		}
	}
	if q.Now && p.Store.Wiped {
		t.Uncertain = p.unsettledParent(q.At, q.Now)
		return t // the folder is gone, and all leases with it
	}
	t.Uncertain = t.Uncertain || p.beside(nobodys(), q)
	known, nobody := false, p.column(nobodys())
	for _, c := range p.choices(nobody, q) {
		switch {
		case nobody.row[c.at].known:
			known = true
		case c.candidate():
			t.Unknown = true
		default:
			t.Uncertain = true
		}
	}
	t.Uncertain = t.Uncertain || p.unsettledParent(q.At, q.Now)
	t.Unknown = t.Unknown || !known || !p.Covers(nobodys(), q)
	return t
}

// List is what became of an address.
type List int

// What became of it.
const (
	Added   List = iota // nobody held it before
	Removed             // nobody holds it after
	Moved               // another attachment holds it
	Reused              // the same attachment holds it, but released it in between and was given it again
)

var listNames = [...]string{"added", "removed", "moved", "reused"}

// String returns the name of the list.
func (l List) String() string { return listNames[l] }

// Change is what differs between two tables for one address.
type Change struct {
	IP            netip.Addr
	List          List
	Before, After []*Interval
}

// Diff returns what differs between the tables at two instants, by address.
func (p *Past) Diff(a, b Question) []Change {
	var out []Change
	before, after := p.At(a).Rows, p.At(b).Rows
	for _, ip := range p.Store.Addresses() {
		c := Change{IP: ip, Before: of(before, ip), After: of(after, ip)}
		switch {
		case slices.Equal(c.Before, c.After):
			continue
		case len(c.Before) == 0:
			c.List = Added
		case len(c.After) == 0:
			c.List = Removed
		case slices.EqualFunc(c.Before, c.After, func(x, y *Interval) bool { return x.Owner == y.Owner }):
			c.List = Reused
		default:
			c.List = Moved
		}
		out = append(out, c)
	}
	return out
}

func of(rows []Row, ip netip.Addr) []*Interval {
	var out []*Interval
	for _, r := range rows {
		if r.IP == ip {
			out = append(out, r.Interval)
		}
	}
	return out
}
