// Package jobs kills the jobs that work on a store beside the plugin (leasectl compact, prune, hold, backup and restore) at
// their system calls, lets these fail, and runs the jobs beside processes of the plugin. It holds tests only.
//
// A job is run once under strace, which tells what it does to files. Then it is run on the same store again and again, each time
// with another of these system calls that never returns, or fails. What is left has to be as good as before: each event is
// there, byte for byte, the plugin's ADD works and gives nothing that is held; and the next run ends what was begun, and
// leaves nothing behind.
//
// By default a part of the system calls is tried, another one with each seed; all are with -full.
package jobs
