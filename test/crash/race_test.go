//go:build race

package crash

// raceDetector makes everything several times slower, so that only a sample is tried.
const raceDetector = true
