//go:build !race

package control

// bookRuns is how many runs the test of the book makes.
const bookRuns = 2000
