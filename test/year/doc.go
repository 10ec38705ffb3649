// Year compacts a store as a year of a busy node fills it: leasegen makes 15 million events, a day's segments are moved into a
// store, and leasectl compact runs, 365 times. It writes what the store takes then, what each run took, and whether the plugin
// has become slower, to docs/bench/year.md.
//
//	go run ./test/year [-events N] [-days N] [-leases N] [-source DIR] [-out FILE]
//
// The store has no marker and so is a copy of one, which is compacted as a store in use is. ADD and DEL are timed on copies of
// it, of the first day and of the last, in turns: the plugin takes them over.
//
// Needs Go, 13 GB below the folder for temporary files (4 for each of source and store while the source is made and fed),
// and half an hour. It is not part of make test.
package main
