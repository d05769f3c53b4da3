// Package dns is the resolver at a segment's gateway address. It answers for the
// names and addresses of the segment's own stations, and forwards every other
// question to the host's resolvers where it was given a [Forwarder]. Messages
// flow in as bytes, or through sockets that others opened; it knows no switch and
// keeps no cache.
//
// Names have A and AAAA records, addresses of IPv4 and IPv6 a name.
//
// It is no open resolver: who asks from outside the segment's subnets gets no
// answer at all.
package dns
