// Package report makes the page that `leasectl report` writes: one HTML file with the history of networks in it, and with the script that
// draws it. The page loads nothing, from nowhere: it opens from a disk, in a room without a network.
//
// The page asks no rules of its own what an address was: package replay says so, instant by instant, and what it says is written
// into the page's data, in the form that docs/FORMAT.md describes. What is between two events follows from their times alone, by
// a formula that is given there. A lease for which the formula is not enough brings its windows with it.
//
// A Report takes one View after another, each one network on one node, and forgets what it was made of. Its data is compact: a
// page of 40,000 events is less than a megabyte.
//
// The script and its style are built from web/ by a tool of their own, and embedded; the Content-Security-Policy of the page
// names them by their hash, and allows nothing else. What comes from a journal is in the data, packed, where it can't be taken for
// HTML, and the script shows it as text alone.
package report
