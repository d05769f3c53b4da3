package load

import (
	"net/netip"

	"vswitch/internal/frame"
	"vswitch/internal/netns"
)

// Endpoint is one interface of one container-like namespace.
type Endpoint struct {
	Namespace string       `json:"namespace"` // under /run/netns
	IfName    string       `json:"ifname"`
	Addr      netip.Prefix `json:"addr"`
	MAC       frame.MAC    `json:"mac"`
	Segment   int          `json:"segment"` // endpoints reach those of the same number
	Guarded   bool         `json:"guarded"` // held to its MAC and address
}

// InNamespace opens a namespace by its name for f.
func InNamespace(name string, f func(*netns.Namespace) error) error {
	ref, err := netns.ParseRef(name)
	if err != nil {
		return err
	}
	ns, err := netns.Open(ref)
	if err != nil {
		return err
	}
	defer ns.Close()
	return f(ns)
}
