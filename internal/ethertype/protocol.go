// Package ethertype names what Ethernet frames carry, as a user does who allows it. It
// knows no frame and keeps nothing.
package ethertype

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"vswitch/internal/frame"
)

// Protocol names what an Ethernet frame carries beside IP and ARP: a protocol by
// its name, such as "ptp", an EtherType as "0x88b5", or one of the constants.
type Protocol string

const (
	// LLC is all frames with a length where others have an EtherType (IEEE 802.2):
	// IS-IS, spanning trees and much else.
	LLC Protocol = "llc"
	// ReservedGroups is all frames to 01:80:C2:00:00:01 to -0F, whatever they carry.
	ReservedGroups Protocol = "reserved"
)

// known has the EtherTypes of each name (IEEE Registration Authority,
// "EtherType"; most names are those of Linux's include/uapi/linux/if_ether.h).
var known = map[Protocol][]uint16{
	LLC:            nil,
	ReservedGroups: nil,

	"aoe":       {0x88a2},
	"avtp":      {0x22f0},
	"batman":    {0x4305},
	"cfm":       {0x8902},
	"eapol":     {0x888e},
	"ethercat":  {0x88a4},
	"fcoe":      {0x8906, 0x8914}, // and its initialisation
	"goose":     {0x88b8},
	"hsr":       {0x892f},
	"lacp":      {0x8809}, // and the other slow protocols (IEEE 802.3 annex 57A)
	"lldp":      {0x88cc},
	"loopback":  {frame.EtherTypeLoopback},
	"macsec":    {0x88e5},
	"mmrp":      {0x88f6},
	"mpls":      {0x8847, 0x8848},
	"msrp":      {0x22ea},
	"mvrp":      {0x88f5},
	"nsh":       {0x894f},
	"pause":     {0x8808}, // MAC control
	"powerlink": {0x88ab},
	"pppoe":     {0x8863, 0x8864}, // discovery and session
	"profinet":  {0x8892},
	"prp":       {0x88fb},
	"ptp":       {0x88f7},
	"qinq":      {frame.EtherTypeQinQ, frame.EtherTypeQinQOld},
	"rarp":      {0x8035},
	"roce":      {0x8915},
	"sercos":    {0x88cd},
	"sv":        {0x88ba},
	"tipc":      {0x88ca},
	"trill":     {0x22f3},
	"vlan":      {frame.EtherTypeVLAN},
	"wol":       {0x0842},
}

// Names returns the names that [Parse] knows, sorted.
func Names() []Protocol { return slices.Sorted(maps.Keys(known)) }

// Parse reads a name, in either case, or an EtherType as 0x88b5. What is
// checked by its addresses, IP and ARP, is none.
func Parse(s string) (Protocol, error) {
	name := Protocol(strings.ToLower(s))
	if _, named := known[name]; named {
		return name, nil
	}
	digits, hex := strings.CutPrefix(string(name), "0x")
	t, err := strconv.ParseUint(digits, 16, 16)
	switch {
	case !hex || err != nil:
		return "", fmt.Errorf(
			"want the name of a protocol, such as ptp, or an EtherType, such as 0x88b5",
		)
	case frame.IsLength(uint16(t)):
		return "", fmt.Errorf("is a length and no EtherType: want 0x0600 to 0xffff, or llc")
	case frame.CheckedByAddress(uint16(t)):
		return "", fmt.Errorf("is IP or ARP, which is let pass by its addresses: allow those")
	}
	return exactly(uint16(t)), nil
}

// exactly returns the protocol of one EtherType and no other: its name where it has one
// of its own.
func exactly(t uint16) Protocol {
	if name := Of(t); len(known[name]) == 1 {
		return name
	}
	return numbered(t)
}

func numbered(t uint16) Protocol { return Protocol(fmt.Sprintf("0x%04x", t)) }

// Of returns the protocol that a frame of an EtherType or length belongs to,
// by the name that stands for it, alone or with others.
func Of(t uint16) Protocol {
	if frame.IsLength(t) {
		return LLC
	}
	for name, types := range known {
		if slices.Contains(types, t) {
			return name
		}
	}
	return numbered(t)
}

// EtherTypes returns the types of the protocol; none for LLC, ReservedGroups and what
// [Parse] does not return.
func (p Protocol) EtherTypes() []uint16 {
	if types, named := known[p]; named {
		return types
	}
	t, err := strconv.ParseUint(strings.TrimPrefix(string(p), "0x"), 16, 16)
	if err != nil || frame.IsLength(uint16(t)) {
		return nil
	}
	return []uint16{uint16(t)}
}
