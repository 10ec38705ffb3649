//go:build race

package oracle_test

// raceDetector makes everything several times slower and finds nothing here, so that only a sample is tried.
const raceDetector = true
