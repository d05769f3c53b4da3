package host

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// redirect sends a packet to where the map says, by its protocol and port and, if
// the map has it, by the address it is for. A packet that the map does not have is
// left for the next rule.
func redirect(m *nftables.Set, byAddress bool) match {
	key := family(nftables.TableFamilyIPv4)
	protocol, port := uint32(word0), uint32(word1)
	if byAddress {
		protocol, port = word1, word2
		key = append(key, &expr.Payload{DestRegister: word0, Base: expr.PayloadBaseNetworkHeader, Offset: offsetDestination, Len: 4})
	}
	return append(key,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: protocol},
		&expr.Payload{DestRegister: port, Base: expr.PayloadBaseTransportHeader, Offset: offsetPort, Len: 2},
		&expr.Lookup{SourceRegister: word0, DestRegister: register, IsDestRegSet: true, SetName: m.Name, SetID: m.ID},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(nftables.TableFamilyIPv4), RegAddrMin: register, RegProtoMin: word1},
	)
}
