// Package daemon is the composition root of vswitchd. It owns the tasks that run
// for the daemon's life, implements [api.Backend], and applies each change to the
// switch, the TAP devices, the namespaces, the addresses and the store, in an
// order that can be undone: a change that fails leaves everything as it was.
//
// Requests flow in from the API and devices' ends from the switch; nothing here
// stands on the packet path.
package daemon
