// Package stat holds the statistics of the benchmarks: quantiles and summaries of
// measured values, ratios with bootstrap intervals, the test of whether two sets of
// values differ, and what processes and the machine use of processor time and memory.
//
// Values come in and numbers go out. The package knows neither scenarios nor peers nor
// how results are stored or shown.
package stat
