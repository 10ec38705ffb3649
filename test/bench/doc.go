// Bench measures whole calls: from the fork of the plugin's process until it is reaped, as a container
// runtime sees them. make bench runs it and has it write docs/BENCHMARKS.md.
//
// Side by side, in one run, round by round in rotating order, it calls the plugin as built, the
// reference host-local on the same leases in its own format, and a floor (see package floor). Before
// each timed call the file system is told to write what is pending, so that nobody's sync pays for
// another's files. Exit code and answer of each call are checked outside the timed region; one that is wrong
// fails the run.
//
// Stores come from leasegen. The plugin's calls leave events, so its store is put back from a template
// every few rounds: what a row says of leases and events since the newest snapshot holds for each of its samples.
//
// File systems other than the one it works on need root. They are mounted in a mount namespace of its own, so that
// nothing is left mounted however the run ends.
package main
