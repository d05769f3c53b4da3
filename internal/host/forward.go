package host

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Types of the keys and values of the two maps of published ports, in nft's words.
var (
	anyKey = nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService)
	ownKey = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	target = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
)

// word pads b with zeros to the 4 bytes that each field of a key takes.
func word(b ...byte) []byte { return append(b, make([]byte, 4-len(b))...) }

func portWord(p uint16) []byte { return word(binary.BigEndian.AppendUint16(nil, p)...) }

func addrWord(a netip.Addr) []byte {
	b := a.As4()
	return b[:]
}

// elements are those of the map for any address of the host, and of that for one.
func elements(forwards []Forward) (anyHost, oneHost []nftables.SetElement) {
	for _, f := range forwards {
		number, _ := f.Protocol.number()
		for i := range f.count() {
			key := append(word(number), portWord(f.HostPort+uint16(i))...)
			value := append(addrWord(f.To), portWord(f.ToPort+uint16(i))...)
			if f.anyHost() {
				anyHost = append(anyHost, nftables.SetElement{Key: key, Val: value})
			} else {
				oneHost = append(oneHost, nftables.SetElement{Key: append(addrWord(f.HostIP), key...), Val: value})
			}
		}
	}
	return anyHost, oneHost
}

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
