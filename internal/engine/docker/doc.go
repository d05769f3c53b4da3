// Package docker serves Docker's protocol for remote drivers, so that "docker
// network create -d vswitch" makes a segment and a container on it gets a port.
//
// In flow dockerd's requests over a unix socket, out flow calls of [api.Backend]:
// a network is the segment with its id, an endpoint the port with its id. All state
// is the switch's, nothing is kept here, so either daemon may restart at any time
// and every deletion may come twice. dockerd moves the port's interface into the
// container and configures it there.
//
// No handler calls the engine, which may be waiting for it. What the engine calls
// networks and containers is learnt beside, see [Names].
package docker
