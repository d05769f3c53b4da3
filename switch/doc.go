// Package vswitch is the layer-2 engine of the switch: segments, ports, the workers that
// forward frames, verdicts and counters. Its parts are packages of their own: fdb is the
// forwarding table, policy is port security, rules and limits, drop names the reasons for
// which a frame is dropped.
//
// Frames flow in from a [Device] and out to others, through the [Poller] of each worker:
// package vswitch/tap/poller makes one for TAP devices, package switchtest one for devices in
// memory. Segments, ports with their policies, rules and static entries flow in from the
// control side; counters, table entries, and reports of violations and loops flow back. An
// [Observer] may see every verdict.
//
// A port lasts from [Switch.AddPort] to [Switch.RemovePort], and its own address is known for
// as long; its device may come and go ([Switch.Attach], [Switch.Detach]). A segment may have
// one port for the host, which has the gateway's address (host.go).
//
// The package knows no kernel, no namespace and no API. forward.go documents the packet path,
// stage by stage; verdict.go is where the path of each frame ends. The data side (the workers)
// takes no lock: it loads what the control side publishes through atomic pointers. One mutex
// in [Switch] serialises the control side.
//
// MAC addresses are arrays of type [6]byte and frames are slices of type []byte under another
// name, so that a program outside this module can pass its own.
package vswitch
