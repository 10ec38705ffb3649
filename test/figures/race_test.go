//go:build race

package figures_test

// raceEnabled: the race detector allocates for itself.
const raceEnabled = true
