//go:build race

package control

// bookRuns is how many runs the test of the book makes: few, for each takes ten times as long.
const bookRuns = 200
