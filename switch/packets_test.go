package vswitch_test

import (
	"net/netip"

	"vswitch/switch/switchtest"
)

// host1 is the first port's host.
var host1 = switchtest.Host1

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
