package e2e

import (
	"testing"

	"vswitch/test/lab"
)

// host is a machine with what the tests of this package do to it.
type host struct{ *lab.Host }

func newHost(t *testing.T, flags ...string) *host {
	t.Helper()
	return &host{lab.NewHost(t, flags...)}
}

func newQuietHost(t *testing.T) *host {
	t.Helper()
	return &host{lab.NewQuietHost(t)}
}
