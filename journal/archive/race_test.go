//go:build race

package archive_test

// everyNth is of how many tries one is made: the race detector makes them many times slower and finds nothing in them.
const everyNth = 8
