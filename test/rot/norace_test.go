//go:build !race

package rot_test

const raceEnabled = false
