package dhcp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

var (
	clientMAC = net.HardwareAddr{2, 0x42, 172, 17, 0, 2}
	server    = net.IP{172, 17, 0, 1}
	own       = net.IP{172, 17, 0, 2}
	foreign   = net.IP{172, 17, 0, 3}
)

func lease() Lease {
	gateway := netip.MustParseAddr("172.17.0.1")
	return Lease{
		MAC: clientMAC, Addr: netip.MustParsePrefix("172.17.0.2/16"), Server: gateway, Router: gateway, DNS: gateway,
		MTU: 1400, HostName: "container1", Duration: time.Hour,
	}
}

func message(tb testing.TB, kind dhcpv4.MessageType, edit ...dhcpv4.Modifier) []byte {
	tb.Helper()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(clientMAC)}, edit...)...)
	if err != nil {
		tb.Fatal(err)
	}
	return m.ToBytes()
}

func wants(ip net.IP) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(ip))
}

func chose(ip net.IP) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip)) }

// TestVerdicts goes through the states of a client (RFC 2131 §4.3).
func TestVerdicts(t *testing.T) {
	t.Parallel()
	const (
		discover, request = dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest
		release, decline  = dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeDecline
		inform            = dhcpv4.MessageTypeInform
	)
	type edits = []dhcpv4.Modifier
	for name, test := range map[string]struct {
		kind dhcpv4.MessageType
		edit edits
		want Event
		to   string
	}{
		"init":                      {discover, nil, Offered, "172.17.0.2"},
		"init, broadcast":           {discover, edits{dhcpv4.WithBroadcast(true)}, Offered, "255.255.255.255"},
		"init, another address":     {discover, edits{wants(foreign)}, Offered, "172.17.0.2"},
		"selecting":                 {request, edits{chose(server), wants(own)}, Acknowledged, "172.17.0.2"},
		"selecting, another":        {request, edits{chose(server), wants(foreign)}, Refused, "255.255.255.255"},
		"selecting, other server":   {request, edits{chose(foreign), wants(own)}, Ignored, ""},
		"selecting nothing":         {request, edits{chose(server)}, Ignored, ""},
		"rebooting":                 {request, edits{wants(own)}, Acknowledged, "172.17.0.2"},
		"rebooting, another":        {request, edits{wants(foreign)}, Refused, "255.255.255.255"},
		"renewing":                  {request, edits{dhcpv4.WithClientIP(own)}, Acknowledged, "172.17.0.2"},
		"renewing, another":         {request, edits{dhcpv4.WithClientIP(foreign)}, Refused, "255.255.255.255"},
		"no address":                {request, nil, Ignored, ""},
		"inform":                    {inform, edits{dhcpv4.WithClientIP(own)}, Informed, "172.17.0.2"},
		"inform, another":           {inform, edits{dhcpv4.WithClientIP(foreign)}, Informed, "255.255.255.255"},
		"release":                   {release, edits{dhcpv4.WithClientIP(own), chose(server)}, Released, ""},
		"release, other server":     {release, edits{dhcpv4.WithClientIP(own), chose(foreign)}, Ignored, ""},
		"decline":                   {decline, edits{wants(own), chose(server)}, Declined, ""},
		"another client":            {discover, edits{dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 9})}, Ignored, ""},
		"a relay":                   {discover, edits{dhcpv4.WithGatewayIP(foreign)}, Ignored, ""},
		"a server's message":        {dhcpv4.MessageTypeOffer, nil, Ignored, ""},
		"a reply":                   {discover, edits{func(m *dhcpv4.DHCPv4) { m.OpCode = dhcpv4.OpcodeBootReply }}, Ignored, ""},
		"no type":                   {discover, edits{dhcpv4.WithoutOption(dhcpv4.OptionDHCPMessageType)}, Ignored, ""},
		"a client id that is huge":  {discover, edits{dhcpv4.WithOption(dhcpv4.OptClientIdentifier(make([]byte, 300)))}, Ignored, ""},
		"an address of no length 4": {request, edits{dhcpv4.WithGeneric(dhcpv4.OptionRequestedIPAddress, []byte{1})}, Ignored, ""},
	} {
		answer := Respond(message(t, test.kind, test.edit...), lease())
		if answer.Event != test.want {
			t.Errorf("%s: %s, want %s", name, answer.Event, test.want)
		}
		if (answer.Message != nil) != (test.to != "") {
			t.Errorf("%s: an answer of %d bytes", name, len(answer.Message))
		} else if test.to != "" && answer.To.String() != test.to {
			t.Errorf("%s: the answer goes to %s, want %s", name, answer.To, test.to)
		}
	}
}

func TestAnswersTellTheLease(t *testing.T) {
	t.Parallel()
	id := dhcpv4.WithOption(dhcpv4.OptClientIdentifier([]byte{1, 2, 3}))
	for name, request := range map[string][]byte{
		"offer":  message(t, dhcpv4.MessageTypeDiscover, id),
		"ack":    message(t, dhcpv4.MessageTypeRequest, id, wants(own)),
		"inform": message(t, dhcpv4.MessageTypeInform, id, dhcpv4.WithClientIP(own)),
		"nak":    message(t, dhcpv4.MessageTypeRequest, id, wants(foreign)),
	} {
		asked, err := dhcpv4.FromBytes(request)
		if err != nil {
			t.Fatal(err)
		}
		m, err := dhcpv4.FromBytes(Respond(request, lease()).Message)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if m.OpCode != dhcpv4.OpcodeBootReply || m.TransactionID != asked.TransactionID || m.ClientHWAddr.String() != clientMAC.String() {
			t.Errorf("%s: not an answer to the message: %s", name, m.Summary())
		}
		if !m.ServerIdentifier().Equal(server) || string(m.Options.Get(dhcpv4.OptionClientIdentifier)) != "\x01\x02\x03" {
			t.Errorf("%s: wants our identifier and the client's own (RFC 6842): %s", name, m.Summary())
		}
		mtu := m.Options.Get(dhcpv4.OptionInterfaceMTU)
		knows := len(mtu) == 2 && binary.BigEndian.Uint16(mtu) == 1400 && m.SubnetMask().String() == "ffff0000" &&
			len(m.Router()) == 1 && m.Router()[0].Equal(server) && len(m.DNS()) == 1 && m.DNS()[0].Equal(server) && m.HostName() == "container1"
		if knows == (name == "nak") {
			t.Errorf("%s: tells of the segment: %t: %s", name, knows, m.Summary())
		}
		timed := m.YourIPAddr.Equal(own) && m.IPAddressLeaseTime(0) == time.Hour &&
			m.IPAddressRenewalTime(0) == 30*time.Minute && m.IPAddressRebindingTime(0) == 52*time.Minute+30*time.Second
		if want := name == "offer" || name == "ack"; timed != want {
			t.Errorf("%s: tells of the address and its times: %t: %s", name, timed, m.Summary())
		}
	}
}

func TestWhatALeaseLacksIsLeftOut(t *testing.T) {
	t.Parallel()
	l := lease()
	l.Router, l.DNS, l.MTU, l.HostName = netip.Addr{}, netip.Addr{}, 0, ""
	m, err := dhcpv4.FromBytes(Respond(message(t, dhcpv4.MessageTypeDiscover), l).Message)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []dhcpv4.OptionCode{
		dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionHostName,
	} {
		if m.Options.Has(code) {
			t.Errorf("the answer has %s", code)
		}
	}
}

// FuzzRespond looks for panics, for answers that are none, and for an address
// that is not the lease's.
func FuzzRespond(f *testing.F) {
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform} {
		f.Add(message(f, kind))
		f.Add(message(f, kind, wants(own), chose(server)))
		f.Add(message(f, kind, dhcpv4.WithClientIP(own)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		answer := Respond(b, lease())
		if answer.Message == nil {
			return
		}
		m, err := dhcpv4.FromBytes(answer.Message)
		if err != nil {
			t.Fatalf("the answer % x: %v", answer.Message, err)
		}
		if len(answer.Message) > 1000 || !isZero(m.YourIPAddr) && !m.YourIPAddr.Equal(own) {
			t.Fatalf("an answer of %d bytes: %s", len(answer.Message), m.Summary())
		}
		if to := answer.To; to != broadcast && to != lease().Addr.Addr() {
			t.Fatalf("an answer to %s", to)
		}
	})
}
