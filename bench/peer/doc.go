// Package peer holds the switches that are measured and the lab that they run in.
//
// A [Peer] is started in a [Lab], which owns the network namespaces, the directory and the
// processes of a measurement and removes them at its end. A peer that runs is a [Fabric],
// which connects endpoints. The package generates no load and measures nothing: [Needs] is
// all that it knows of a measurement.
package peer
