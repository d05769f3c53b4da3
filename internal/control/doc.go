// Package control applies each change that is asked for to the switch, the TAP devices, the
// namespaces, the addresses, the host and the store, in an order that can be undone: a change that
// fails leaves everything as it was. It follows what becomes of the ports outside its reach, and
// answers from package view what there is.
//
// Requests flow in from the API, devices' ends from the switch, and events from the kernel;
// nothing here stands on the packet path.
package control
