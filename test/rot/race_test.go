//go:build race

package rot_test

// raceEnabled has the exhaustive tests take a sample: under the race detector a case takes ten times as long.
const raceEnabled = true
