//go:build !race

package e2e

// raceDetector says whether the daemon under test is built with it as well.
const raceDetector = false
