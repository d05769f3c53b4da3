// Package report owns the result of a run of the benchmarks: its file, and the tables, pages
// of Markdown, plots and comparisons that show it.
//
// It takes a [Result] from the harness or from [ReadResult], and writes text and pictures. It
// measures nothing, and knows scenarios, peers and metrics only by their names in the result.
package report
