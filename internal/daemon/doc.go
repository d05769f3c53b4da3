// Package daemon is the composition root of vswitchd: it checks the configuration, makes the
// [control.Control] of it, and runs the tasks that serve it for the daemon's life.
package daemon
