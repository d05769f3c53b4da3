// Package daemons runs the programs of docs/programs.md that other projects make, as two hosts of
// a segment do: what they say of each other is what their users would see. Each is first held to
// a strict port, where that refuses it, and then given the page's option while it runs.
//
// They are no part of make test, for they have to be installed: make test-programs.
package daemons
