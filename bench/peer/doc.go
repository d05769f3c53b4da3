// Package peer holds the packet paths that are measured, and the lab they run in.
//
// A [Peer] is started in a [Lab], which owns the network namespaces, a directory and the
// processes of one measurement and takes them down again. A started peer is a [Fabric],
// which connects endpoints. The package makes no load and measures nothing: what a
// measurement asks of a peer it knows as [Needs] only.
package peer
