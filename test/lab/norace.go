//go:build !race

package lab

// RaceDetector says whether the test has the race detector, and so the vswitchd
// that [Build] builds.
const RaceDetector = false
