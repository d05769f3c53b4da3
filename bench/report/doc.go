// Package report owns the result of a run of the benchmarks: its file, and what is
// made of it for readers: tables, pages of Markdown, plots and comparisons.
//
// A [Result] comes from the harness or from [ReadResult]; bytes go out. The package
// measures nothing, and it knows scenarios, peers and metrics only by the names that
// stand in the result.
package report
