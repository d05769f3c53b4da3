// Package api is the switch's control interface: the types on the wire, a server
// that offers a [Backend] as HTTP and JSON on a unix socket, and a [Client] that
// speaks to it and is itself a Backend.
//
// openapi.yaml beside this file is the only definition of the interface. The types, the routes,
// what reads paths and queries, and the client's requests are generated from it: [HTTPClient]
// and [StrictServerInterface] with all that begins with an operation's name. The names of Go's
// types and fields are in the document as its x-go extensions.
//
// Requests flow from the client through the socket to the server, which reads everything once,
// at the edge, into types that cannot be malformed, such as netip.Prefix, [MAC], [Rate] and
// [PortRange], and hands the backend only what makes sense. What is taken, full or missing is
// the backend's to say, with an [Error] that arrives unchanged at the client.
//
// In answers, what may be absent is a text, empty when there is none, so that templates can ask
// for it.
//
// The package resolves no names, keeps no state beyond its socket and never
// touches the kernel's network.
package api

//go:generate ../bin/tools/oapi-codegen -config generate.yaml -o api.gen.go openapi.yaml
