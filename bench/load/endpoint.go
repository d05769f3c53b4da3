package load

import (
	"net/netip"

	"vswitch/internal/frame"
	"vswitch/internal/netns"
)

// Endpoint is an interface in a network namespace, as a container has it.
type Endpoint struct {
	Namespace string       `json:"namespace"` // its name under /run/netns
	IfName    string       `json:"ifname"`
	Addr      netip.Prefix `json:"addr"` // with the length of the segment's prefix
	MAC       frame.MAC    `json:"mac"`
	Segment   int          `json:"segment"`  // an endpoint reaches those on its own segment
	Guarded   bool         `json:"guarded"`  // may send from its own MAC and address only
	RateIn    uint64       `json:"rate_in"`  // bounds what it sends, in bits/s; 0: not bounded
	RateOut   uint64       `json:"rate_out"` // bounds what it is sent, in bits/s; 0: not bounded
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

// InNamespace calls f with the network namespace of this name, which is open until f
// returns. It is an error if there is no such namespace.
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
