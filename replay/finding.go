package replay

import (
	"path/filepath"
	"slices"

	"github.com/leaselog/leaselog/journal"
)

// Severity says what a finding means for those who rely on the store.
type Severity uint8

// The severities.
const (
	SeverityNote    Severity = iota // something that answers have to take into account; nothing is wrong with the bytes
	SeverityHistory                 // history is damaged; calls go on and no lease is in doubt
	SeverityDamage                  // calls are refused, or what is held is in doubt, until it is repaired
)

// String returns the severity as findings spell it.
func (s Severity) String() string {
	switch s {
	case SeverityNote:
		return "note"
	case SeverityHistory:
		return "history"
	}
	return "damage"
}

// Finding is something in a store that is not as it was written, or that answers depend on.
type Finding struct {
	Severity Severity
	File     string      // below the store's folder, or the path of the claim; "" if no file is meant
	Offset   int64       // of the first bad byte in File, -1 if there is none
	First    journal.Seq // first event affected, 0 if none is
	Last     journal.Seq // last event affected; before First if none is lost
	What     string      // is wrong
	Affects  string      // what else can't be told because of it; "" for notes
	Do       string      // what to do about it; "" if nothing can or need be done
}

// Verified is what Verify looked at.
type Verified struct {
	Journal   journal.ID
	Events    int // records that were read and checked
	Segments  int
	Packed    int // packed files that events were read from
	Snapshots int
	First     Point // first and last event that could be read
	Last      Point
	Live      bool
	Findings  []Finding
}

// Clean reports whether nothing but notes was found.
func (v *Verified) Clean() bool {
	return !slices.ContainsFunc(v.Findings, func(f Finding) bool { return f.Severity != SeverityNote })
}

// confirm looks at a store in use until a look finds nothing that the one before did not find, and at last counts only
// what two looks in a row have found.
func confirm(look func() (*Verified, error)) (*Verified, error) {
	v, err := look()
	if err != nil || v.Clean() || !v.Live {
		return v, err
	}
	var confirmed []Finding
	for range maxVerifyLooks {
		before := v.Findings
		if v, err = look(); err != nil {
			return nil, err
		}
		confirmed = slices.DeleteFunc(slices.Clone(v.Findings), func(f Finding) bool {
			return f.Severity != SeverityNote && !slices.ContainsFunc(before, f.same)
		})
		if len(confirmed) == len(v.Findings) {
			break
		}
	}
	v.Findings = confirmed
	return v, nil
}

// maxVerifyLooks bounds how often a store in use is looked at again.
const maxVerifyLooks = 5

// same reports whether two looks found the same. Files may have moved in between, and what is affected may be less.
func (f Finding) same(g Finding) bool {
	return f.Severity == g.Severity && filepath.Base(f.File) == filepath.Base(g.File) && f.Offset == g.Offset && f.First == g.First
}
