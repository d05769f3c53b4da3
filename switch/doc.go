// Package vswitch is the layer-2 core of the switch: segments, ports, the
// forwarding table, the workers that carry frames, verdicts and counters.
//
// Frames flow in from a [Device] and out to others; segments, ports with their
// policies, rules and static entries flow in from the control side, counters,
// table entries and reports of violations and loops flow back.
// A segment may have a port of the host's, which has the gateway's address (host.go).
// The package knows no kernel, no namespace and no API: a device is anything
// that can be read and written without blocking, and a [Poller] says when.
//
// The way of a frame is told in forward.go, stage by stage. The data side (the
// workers) takes no lock: it loads what the control side publishes through
// atomic pointers. The control side is serialised by one mutex in [Switch].
package vswitch
