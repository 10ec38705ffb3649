// Package oracle answers questions about the past a second time: who held an address, the whole table at an instant,
// what changed between two, and the history of an address. It is written from docs/FORENSICS.md alone and shares no
// code with package replay, whose answers the tests here hold against it over random histories.
//
// It is slow and simple on purpose. Every position of a store is looked at for every question. What was held
// at a position is not folded forward: each event says something about the positions beside it, what is said spreads to
// the neighbours that no event divides, and what nobody says anything about stays unsettled. So mistakes of a fold
// have no counterpart here.
//
// A Store is what can be read of one: its events, some of which may be missing, and its snapshots. Random makes one
// by chance, with everything that makes answers hard: clocks set back, boots without an ID, lost events.
package oracle
