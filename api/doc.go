// Package api is the switch's control interface: the types on the wire, a server
// that offers a [Backend] as HTTP and JSON on a unix socket, and a [Client] that
// speaks to it and is itself a Backend.
//
// Requests flow from the client through the socket to the server, which checks
// everything once, at the edge, and hands the backend only well-formed values:
// names, canonical MAC addresses, networks without host bits. What is taken, full
// or missing is the backend's to say, with an [Error] that arrives unchanged at
// the client. Routes and documents are described in openapi.yaml beside this file.
//
// An address that is always there is a netip type; one that may be absent, and
// every MAC, is a string, empty when there is none.
//
// The package resolves no names, keeps no state beyond its socket and never
// touches the kernel's network.
package api
