// Package daemontest builds the project's binaries and runs vswitchd for tests
// that look at it from outside. Out flows a [Process]; what is asked of the daemon
// is the caller's business.
package daemontest
