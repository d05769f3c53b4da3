// Package conformance holds switches against the rules of bridging, from outside:
// the checks know a switch only through an [Adapter], attach network namespaces to
// it, and look at what frames do that real packet sockets send and receive there.
// The kernel's bridge stands beside vswitch as the oracle: where both are meant to
// do the same, both must pass the same check. What a check asserts follows IEEE
// 802.1Q-2022 §8 and the kernel's own tools/testing/selftests/net/forwarding.
//
// That a frame does not arrive is proven by order, never by waiting: whoever sent
// it sends a marker after it on the same path, and once the marker is there,
// whatever came before it is too. Nothing here touches an interface of the machine:
// switches, daemons and stations have network namespaces of their own.
//
// In flow adapters, out flows a [Report]. The package measures nothing; that is
// bench's.
package conformance
