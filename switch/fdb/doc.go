// Package fdb is the forwarding table of all segments: which port, or which remote host,
// a MAC address of a segment is behind.
//
// Source addresses flow in from the workers, which learn them, and entries of the other
// kinds from the control side; workers look destinations up. The package knows keys and
// places only: no port, no frame, no clock. A [Place] that nobody uses any more has to be
// taken out with [Table.Remove] before its number is given to another.
//
// [Table.Lookup] and [Table.Learn] take no lock, allocate nothing and may be called by any
// worker at any time. All other methods that change the table take its mutex.
package fdb
