// Floor is what any durable CNI plugin costs that is built as ours is: the same packages linked and
// initialised, a lock, one append, one sync, a result. What the plugin needs beyond that is its own work.
//
// It links the plugin whole because it would run it, if it was given an argument; make bench never
// gives one. FLOOR says what a call does, and FLOOR_DIR where its two files are:
//
//	write   takes the lock, appends 200 bytes, syncs, and prints a result after an ADD
//	idle    takes the lock and prints a result, whatever the verb
//	silent  takes the lock and prints nothing, as a successful CHECK and STATUS do
//	bare    as write, but knows no CNI: it reads nothing, and prints bytes that were there before
//
// All but bare read the environment and the configuration by the CNI library and print by it: no
// plugin that is built on the library gets around that.
package main
