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

// AdoptLink moves the link hostName from the network namespace of the calling thread to the
// endpoint, gives it the endpoint's name and addresses, and sets it up. txQueueLen is the
// length of its transmit queue in frames; 0 leaves it as it is.
func (e Endpoint) AdoptLink(hostName string, txQueueLen int) error {
	return InNamespace(e.Namespace, func(ns *netns.Namespace) error {
		_, err := ns.AdoptLink(netns.LinkConfig{
			HostName: hostName, Name: e.IfName, MAC: e.MAC[:], Address: e.Addr, MTU: 1500,
			TxQueueLen: txQueueLen,
		})
		return err
	})
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
