// Package view is the switch as it was asked for beside the switch as it is. A [Snapshot] holds
// both at one moment and never changes: lists, metrics and the gateways' services are answered
// from the latest one, and wait for no change that is under way.
//
// What was asked for comes from package model, what is from whoever attaches and watches the
// ports. What follows from the two, such as for whom a segment answers ARP, is a function of them.
package view
