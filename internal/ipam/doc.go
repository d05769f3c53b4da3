// Package ipam owns address pools of IPv4 and IPv6, the subnets cut from them and
// the leases inside each subnet, as Docker's default IPAM driver does. A subnet is
// of one family; who wants both takes two subnets.
//
// In flow the user's wishes, already parsed to netip types, and the host's
// routes as prefixes to stay away from; out flow subnets, gateways and
// addresses. The package does no I/O, keeps nothing on disk, never looks at
// the host and starts no goroutine. Everything is safe for concurrent use.
//
// To restore the state after a restart, call [Allocator.Add] with the prefix,
// gateway and range that the subnet had, and then [Subnet.Allocate] with each
// leased address. An explicit prefix is not checked against the host's routes,
// so the subnet's own route does no harm. Which free address was released
// first is forgotten by that, and needs no saving.
package ipam
