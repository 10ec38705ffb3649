package oracle_test

import (
	"slices"

	"github.com/leaselog/leaselog/state"
	"github.com/leaselog/leaselog/test/oracle"
)

// shrink returns the smallest case it finds that still fails.
func shrink(c *oracle.Case, fails func(*oracle.Case) bool) *oracle.Case {
	for again := true; again; {
		again = false
		for _, smaller := range simpler(c) {
			if d := smaller(); d != nil && fails(d) {
				c, again = d, true
				break
			}
		}
	}
	return c
}

// simpler returns the ways to make a case simpler.
func simpler(c *oracle.Case) []func() *oracle.Case {
	var out []func() *oracle.Case
	for i := len(c.Whole) - 1; i > 0; i-- {
		out = append(out, func() *oracle.Case { return legal(c.Drop(i)) })
	}
	change := func(f func(d *oracle.Case)) {
		out = append(out, func() *oracle.Case {
			d := *c
			d.Whole, d.Lost, d.Snapshots = slices.Clone(c.Whole), slices.Clone(c.Lost), slices.Clone(c.Snapshots)
			f(&d)
			return legal(&d)
		})
	}
	if c.Wiped {
		change(func(d *oracle.Case) { d.Wiped = false })
	}
	if c.Live {
		change(func(d *oracle.Case) { d.Live, d.Wiped = false, false })
	}
	for i := range c.Snapshots {
		change(func(d *oracle.Case) { d.Snapshots = slices.Delete(d.Snapshots, i, i+1) })
	}
	for i := range c.Whole {
		if c.Lost[i] {
			change(func(d *oracle.Case) { d.Lost[i] = false })
		}
		if len(c.Whole[i].Addresses) > 1 {
			change(func(d *oracle.Case) { d.Whole[i].Addresses = d.Whole[i].Addresses[:1] })
		}
		if c.Whole[i].Synchronised {
			change(func(d *oracle.Case) { d.Whole[i].Synchronised = false })
		}
		if len(c.Whole[i].Attributes) > 0 {
			change(func(d *oracle.Case) { d.Whole[i].Attributes = nil })
		}
	}
	return out
}

// legal returns the case without the events that can't have happened any more; nil if there is nothing left to ask.
func legal(c *oracle.Case) *oracle.Case {
	st := state.New()
	for i := 0; i < len(c.Whole); {
		if st.Apply(&c.Whole[i]) == nil {
			i++
			continue
		}
		c = c.Drop(i)
	}
	if len(c.Whole) < 2 || c.Lost[len(c.Lost)-1] {
		return nil
	}
	return c
}
