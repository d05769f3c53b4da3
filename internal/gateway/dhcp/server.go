package dhcp

import (
	"bytes"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// UDP ports (RFC 2131 §4.1).
const (
	ServerPort = 67
	ClientPort = 68
)

// Event is what a client's message was about.
type Event uint8

// The events.
const (
	Ignored      Event = iota // not for us, or malformed
	Offered                   // it looks for servers, and was told of its lease
	Acknowledged              // it has its lease, anew or for longer
	Refused                   // it wants another address
	Informed                  // it has its address, and was told all else
	Released                  // it does not need its address for now
	Declined                  // it found its address in use by another
)

// String is the event in lower case.
func (e Event) String() string {
	switch e {
	case Offered:
		return "offered"
	case Acknowledged:
		return "acknowledged"
	case Refused:
		return "refused"
	case Informed:
		return "informed"
	case Released:
		return "released"
	case Declined:
		return "declined"
	}
	return "ignored"
}

// Answer is what becomes of a client's message.
type Answer struct {
	Event   Event
	Message []byte     // nil: none
	To      netip.Addr // the packet's destination; the frame's is the client's MAC
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// maxClientID bounds what an answer repeats of the message; one option's worth.
const maxClientID = 255

// Respond answers a message of the client whose lease it is. What comes through a
// relay is ignored: a segment has none.
func Respond(message []byte, lease Lease) Answer {
	m, err := dhcpv4.FromBytes(message)
	if err != nil || !lease.of(m) {
		return Answer{}
	}
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return lease.answer(m, Offered, dhcpv4.MessageTypeOffer)
	case dhcpv4.MessageTypeRequest:
		return lease.request(m)
	case dhcpv4.MessageTypeInform:
		return lease.answer(m, Informed, dhcpv4.MessageTypeAck)
	case dhcpv4.MessageTypeRelease:
		if lease.names(m.ServerIdentifier()) {
			return Answer{Event: Released}
		}
	case dhcpv4.MessageTypeDecline:
		if lease.names(m.ServerIdentifier()) {
			return Answer{Event: Declined}
		}
	}
	return Answer{}
}

// of says whether m comes from the lease's client and nobody in between.
func (l Lease) of(m *dhcpv4.DHCPv4) bool {
	return m.OpCode == dhcpv4.OpcodeBootRequest && m.HWType == iana.HWTypeEthernet && bytes.Equal(m.ClientHWAddr, l.MAC) &&
		isZero(m.GatewayIPAddr) && len(m.Options.Get(dhcpv4.OptionClientIdentifier)) <= maxClientID
}

// request answers as the client's state wants it (RFC 2131 §4.3.2). A client that
// has chosen another server is ignored.
func (l Lease) request(m *dhcpv4.DHCPv4) Answer {
	server, wanted := m.ServerIdentifier(), m.RequestedIPAddress()
	switch {
	case server != nil && !l.names(server):
		return Answer{}
	case wanted == nil && isZero(m.ClientIPAddr):
		return Answer{} // it names no address
	case wanted == nil: // it renews or rebinds
		wanted = m.ClientIPAddr
	}
	if !wanted.Equal(l.Addr.Addr().AsSlice()) {
		return l.answer(m, Refused, dhcpv4.MessageTypeNak)
	}
	return l.answer(m, Acknowledged, dhcpv4.MessageTypeAck)
}

// names says whether a server identifier is ours.
func (l Lease) names(server net.IP) bool { return server.Equal(l.Server.AsSlice()) }

// answer makes the answer of a kind (RFC 2131 §4.3.1, table 3).
func (l Lease) answer(m *dhcpv4.DHCPv4, event Event, kind dhcpv4.MessageType) Answer {
	options := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(l.Server.AsSlice())),
		dhcpv4.WithoutOption(dhcpv4.OptionRelayAgentInformation),
	}
	if event != Refused {
		options = append(options, l.network()...)
	}
	switch event {
	case Offered:
		options = append(options, l.address()...)
	case Acknowledged:
		options = append(append(options, l.address()...), dhcpv4.WithClientIP(m.ClientIPAddr))
	case Informed:
		options = append(options, dhcpv4.WithClientIP(m.ClientIPAddr))
	}
	reply, err := dhcpv4.NewReplyFromRequest(m, options...)
	if err != nil {
		return Answer{}
	}
	return Answer{Event: event, Message: reply.ToBytes(), To: l.destination(m, event)}
}

// destination is where an answer goes (RFC 2131 §4.1). An address that is not the
// client's own is never one.
func (l Lease) destination(m *dhcpv4.DHCPv4, event Event) netip.Addr {
	own := l.Addr.Addr()
	switch {
	case event == Refused:
		return broadcast
	case m.ClientIPAddr.Equal(own.AsSlice()):
		return own
	case event == Informed, m.IsBroadcast():
		return broadcast
	}
	return own
}

func isZero(ip net.IP) bool { return ip == nil || ip.IsUnspecified() }
