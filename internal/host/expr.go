package host

import (
	"encoding/binary"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers of the kernel's virtual machine: the first of 16 bytes, and the same
// bytes seen as words, by which keys of several fields are put together
// (include/uapi/linux/netfilter/nf_tables.h, enum nft_registers).
const (
	register = unix.NFT_REG_1
	word0    = unix.NFT_REG32_00
	word1    = unix.NFT_REG32_01
	word2    = unix.NFT_REG32_02
)

// Offsets in bytes in the IPv4 header (RFC 791 section 3.1), and in that of TCP
// and UDP alike (RFC 9293 section 3.1, RFC 768).
const (
	offsetSource      = 12
	offsetDestination = 16
	offsetPort        = 2
)

// ipsDestinationNAT is IPS_DST_NAT, the status of a connection that some rule has
// sent elsewhere (include/uapi/linux/netfilter/nf_conntrack_common.h).
const ipsDestinationNAT = 1 << 5

// match is a part of a rule that ends it unless it holds.
type match = []expr.Any

// through holds for what came in by (or leaves by) one of the links in set.
func through(key expr.MetaKey, set *nftables.Set, within bool) match {
	return match{
		&expr.Meta{Key: key, Register: register},
		&expr.Lookup{SourceRegister: register, SetName: set.Name, SetID: set.ID, Invert: !within},
	}
}

func from(set *nftables.Set) match    { return through(expr.MetaKeyIIFNAME, set, true) }
func notFrom(set *nftables.Set) match { return through(expr.MetaKeyIIFNAME, set, false) }
func to(set *nftables.Set) match      { return through(expr.MetaKeyOIFNAME, set, true) }
func notTo(set *nftables.Set) match   { return through(expr.MetaKeyOIFNAME, set, false) }

// NFT_META_IIFKIND and NFT_META_OIFKIND (include/uapi/linux/netfilter/nf_tables.h).
const (
	metaInKind  expr.MetaKey = 26
	metaOutKind expr.MetaKey = 27
)

// made holds for what came in (or leaves) by an interface that was made as one of this kind, as
// "ip -d link" names it. It holds for no device of hardware.
func made(key expr.MetaKey, kind string) match {
	var name [linkSize]byte
	copy(name[:], kind)
	return match{
		&expr.Meta{Key: key, Register: register},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: name[:]},
	}
}

// unmoved holds for what came in and leaves by one of the pairs of interfaces in set.
func unmoved(set *nftables.Set) match {
	return match{
		&expr.Meta{Key: expr.MetaKeyIIF, Register: word0},
		&expr.Meta{Key: expr.MetaKeyOIF, Register: word1},
		&expr.Lookup{SourceRegister: word0, SetName: set.Name, SetID: set.ID},
	}
}

// protocolIn holds for the protocols in set, of IPv4 and IPv6.
func protocolIn(set *nftables.Set) match { return through(expr.MetaKeyNFPROTO, set, true) }

// family holds for one of IPv4 and IPv6.
func family(f nftables.TableFamily) match {
	return match{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{byte(f)}},
	}
}

// loopback holds for IPv4 packets that have an address in 127.0.0.0/8 at offset.
func loopback(offset uint32) match {
	return append(family(nftables.TableFamilyIPv4),
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{127}},
	)
}

// source holds for IPv4 packets from a subnet in set.
func source(set *nftables.Set) match {
	return append(family(nftables.TableFamilyIPv4),
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offsetSource, Len: 4},
		&expr.Lookup{SourceRegister: register, SetName: set.Name, SetID: set.ID},
	)
}

// misplaced holds for IPv4 packets to whose source address the host has no route
// through the link that they came by.
func misplaced() match {
	return append(family(nftables.TableFamilyIPv4),
		&expr.Fib{Register: register, FlagSADDR: true, FlagIIF: true, ResultOIF: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: make([]byte, 4)},
	)
}

// toHost holds for IPv4 packets to an address of the host.
func toHost() match {
	return append(family(nftables.TableFamilyIPv4),
		&expr.Fib{Register: register, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: native(unix.RTN_LOCAL)},
	)
}

// fromHost holds for IPv4 packets from an address of the host.
func fromHost() match {
	return append(family(nftables.TableFamilyIPv4),
		&expr.Fib{Register: register, FlagSADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: native(unix.RTN_LOCAL)},
	)
}

// resolverPort is DNS's (RFC 1035 §4.2).
const resolverPort = 53

// toResolver holds for what is sent to DNS's port at an address of the link that it
// came by: the gateway's.
func toResolver(p Protocol) match {
	number, _ := p.number()
	return append(family(nftables.TableFamilyIPv4),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{number}},
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: offsetPort, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: binary.BigEndian.AppendUint16(nil, resolverPort)},
		&expr.Fib{Register: register, FlagDADDR: true, FlagIIF: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: native(unix.RTN_LOCAL)},
	)
}

// tracked holds for packets of a connection that has one of bits set in key, or
// has none of them.
func tracked(key expr.CtKey, bits uint32, set bool) match {
	op := expr.CmpOpEq
	if set {
		op = expr.CmpOpNeq
	}
	return match{
		&expr.Ct{Register: register, Key: key},
		&expr.Bitwise{SourceRegister: register, DestRegister: register, Len: 4, Mask: native(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: register, Data: make([]byte, 4)},
	}
}

func state(bits uint32) match  { return tracked(expr.CtKeySTATE, bits, true) }
func published(yes bool) match { return tracked(expr.CtKeySTATUS, ipsDestinationNAT, yes) }
func verdict(k expr.VerdictKind, chain string) match {
	return match{&expr.Verdict{Kind: k, Chain: chain}}
}

// native is v as the kernel has it in a register.
func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
