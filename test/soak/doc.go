/*
Soak works a store for as long as it is told, by random calls with random misfortunes, and holds
everything that it finds on the disk against a model.

	go run -overlay test/soak/testdata/overlay.json ./test/soak -seed 7 -for 10m

The overlay replaces the journal's clock by one that soak sets: wall clock steps both ways, reboots
and equal times are steps of their own, and each event must hold what the clock showed. The plugin
is built the same way; some steps run it as real processes, up to eight at once, some of
which are killed. All other steps are in this process, through allocator.Store.

Steps are ADD, DEL, GC, CHECK, STATUS, bursts of them, processes side by side, kills, clock steps, reboots, power
cuts in the middle of an append, wipes of the data folder, and deletion of everything.
After each one the oracle reads the disk: no byte that was durable may have changed, new
events must be exactly those that the calls and the model account for, in an order that explains
every answer. Every so often, and whenever files moved, it reads all events from the first one on, checks
the chain, folds them anew, and compares leases and cursors with the model's, with package state's
fold and with the newest snapshot and what follows it.

The model (model.go) knows host-local's order of addresses and what events do; it shares no code with
the allocator and none with package state.

A violation is told with the seed, the step and the last steps before it, and the store is left for inspection.
-seed S -steps N repeats it: every choice of step n depends on seed, n and what the store
holds. What processes side by side do, and where a kill hits, is not repeatable; -processes=false leaves
these steps out.
*/
package main
