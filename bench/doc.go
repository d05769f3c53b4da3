// Package bench measures packet paths side by side: vswitch in each of its poll
// modes, the kernel bridge, a bare relay, and the user-space switches that are
// installed. It owns the scenarios, the peers and what generates load, and turns
// results into tables, plots and comparisons.
//
// [Run] takes settings and gives a result of package report. Each measurement has a network
// namespace for the peer's daemon and one for each endpoint, and only one peer
// runs at a time, for an idle one that polls would take a processor from the
// other. Load comes from processes of their own, started by the program's hidden
// helper command ([Helper]), so that the harness's own garbage collection and
// scheduling disturb nothing. Rounds go through the peers forth and back, so that
// a machine that gets slower or faster does so for all of them alike.
//
// Names follow RFC 2544 (frame loss, back-to-back search), RFC 2889 (address
// learning, congestion and head of line blocking), RFC 8204 (virtual switches)
// and, for the forwarding rate at maximum offered load, RFC 2285 §3.6.2.
//
// The package judges nothing: it has no thresholds.
package bench
