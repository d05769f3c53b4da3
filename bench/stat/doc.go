// Package stat holds the statistics of the benchmarks: summaries and quantiles of measured
// values, ratios with bootstrap intervals, and the test of whether two sets of values differ.
// It also reads how much processor time and memory processes use.
//
// It takes values and returns numbers. It does not know scenarios, peers, or how results are
// stored and shown.
package stat
