// Package bench measures packet paths side by side: vswitch in each of its poll
// modes, the kernel bridge, a bare relay, and the user-space switches that are
// installed. It owns the scenarios and the run; it is the front of these packages:
//
//   - peer: the switches that are measured, and the lab they run in
//   - load: the helper programs that make load and measure it
//   - stat: the statistics
//   - report: the result with its file, tables, plots and comparisons
//
// [Run] takes settings and returns a result. Each measurement has a network
// namespace for the peer's daemon and one for each endpoint. Only one peer runs at
// a time, because an idle one that polls would take a processor from the other.
// Load comes from processes of their own, started by the program's hidden helper
// command ([Helper]), so that the harness's garbage collection and scheduling do
// not disturb it. Rounds go through the peers forth and back, so that a machine
// that gets slower or faster does so for all of them alike.
//
// Names follow RFC 2544 (frame loss, back-to-back search), RFC 2889 (address
// learning, congestion and head of line blocking), RFC 8204 (virtual switches)
// and, for the forwarding rate at maximum offered load, RFC 2285 §3.6.2.
//
// The package has no thresholds: it does not say whether a figure is good enough.
package bench
