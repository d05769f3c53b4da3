// Package vswitch is the layer-2 engine of the switch: segments, ports, the workers that
// carry frames, verdicts and counters. Its parts are packages of their own: fdb is the
// forwarding table, policy is port security, rules and limits, drop names the reasons for
// which a frame is dropped.
//
// Frames flow in from a [Device] and out to others, through a [Poller] that is each
// worker's own. Segments, ports with their policies, rules and static entries flow in from
// the control side; counters, table entries, and reports of violations and loops flow back.
// An [Observer] may see every verdict.
//
// A port lasts from [Switch.AddPort] to [Switch.RemovePort], and its own address is known as
// long; its device may come and go ([Switch.Attach], [Switch.Detach]). A segment may have a
// port of the host's, which has the gateway's address (host.go).
//
// The package knows no kernel, no namespace and no API. forward.go documents the packet
// path, stage by stage; verdict.go is where each frame's way ends. The data side (the
// workers) takes no lock: it loads what the control side publishes through atomic pointers.
// The control side is serialised by one mutex in [Switch].
package vswitch
