// Package model is what was asked of the switch: segments, ports with their addresses, static
// entries of the forwarding table, and pools with their leases, as records of parsed values.
//
// A [State] is an immutable value. [State.With] returns the next one, or an error that says what
// is wrong with a change, alone or beside what is there already. The package knows no kernel, no
// store and no API, and does no I/O.
package model
