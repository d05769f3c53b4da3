package programs

import "github.com/google/gopacket/layers"

// row is a line of the table: a program or protocol.
type row struct {
	name string
	note string // behind the option
	// frames are what the program sends.
	frames func(a, b *station) [][]byte
	// works has the program or the kernel do it, by, and reports whether it did. client says
	// that it does in the station that has a DHCP client.
	works  func(v *site) bool
	by     string
	client bool
}

type sender = func(a, b *station) [][]byte

// each is a row of one frame.
func each(build func(a, b *station) []byte) sender {
	return func(a, b *station) [][]byte { return [][]byte{build(a, b)} }
}

// group is a row of one frame of an EtherType to a group.
func group(dst string, etherType uint16, payload ...byte) sender {
	return each(func(a, _ *station) []byte { return a.eth(dst, etherType, payload...) })
}

// protocol is a row of one packet of IPv4 from the station's own address to a group.
func protocol(dst, dstIP string, number byte, payload ...byte) sender {
	return each(
		func(a, _ *station) []byte { return a.ipv4(dst, dstIP, a.ip.String(), number, payload...) },
	)
}

// toPeer is a row of one packet of IPv4 from own address to own address.
func toPeer(number byte, payload ...byte) sender {
	return each(func(a, b *station) []byte {
		return a.ipv4(b.mac.String(), b.ip.String(), a.ip.String(), number, payload...)
	})
}

// datagram is a row of one datagram from the station's own address to a group.
func datagram(dst, dstIP string, dstPort uint16) sender {
	return each(
		func(a, _ *station) []byte { return a.udp(dst, dstIP, a.ip.String(), dstPort, dstPort, 1, 2, 3) },
	)
}

// virtual is a row of the adverts, announcements and packets of a virtual router.
func virtual(src, dst, dstIP string, number byte) sender {
	return func(a, b *station) [][]byte {
		advert := a.ipv4(dst, dstIP, a.ip.String(), number, 0x31, 51, 100, 1)
		packet := a.ipv4(b.mac.String(), b.ip.String(), virtualIP, 6, make([]byte, 20)...)
		return [][]byte{
			from(src, advert),
			from(src, a.announces(mac(src), virtualIP)),
			from(src, packet),
		}
	}
}

// rows lists the page's table.
func rows() []row {
	list := append(routing(), redundancy()...)
	list = append(list, linkLayer()...)
	list = append(list, bridging()...)
	list = append(list, industry()...)
	return append(append(list, addresses()...), inside()...)
}

func routing() []row {
	return []row{
		{name: "OSPF", frames: protocol("01:00:5e:00:00:05", "224.0.0.5", 89, 2, 1)},
		{name: "EIGRP", frames: protocol("01:00:5e:00:00:0a", "224.0.0.10", 88, 2, 5)},
		{name: "PIM", frames: protocol("01:00:5e:00:00:0d", "224.0.0.13", 103, 0x20)},
		{name: "RIP", frames: datagram("01:00:5e:00:00:09", "224.0.0.9", 520)},
		{name: "BGP, BFD of one hop", frames: func(a, b *station) [][]byte {
			return [][]byte{
				a.ipv4(b.mac.String(), b.ip.String(), a.ip.String(), 6, 0, 179, 0, 179),
				a.udp(b.mac.String(), b.ip.String(), a.ip.String(), 49152, 3784, 0x20, 0xc0, 3, 24),
			}
		}},
		{name: "IS-IS", frames: func(a, _ *station) [][]byte {
			return [][]byte{
				a.llc("01:80:c2:00:00:14", 0xfe, 0xfe, 3, 0x83, 27),
				a.llc("09:00:2b:00:00:05", 0xfe, 0xfe, 3, 0x83, 27),
			}
		}},
		{name: "MPLS, LDP", frames: func(a, b *station) [][]byte {
			return [][]byte{
				a.eth(
					b.mac.String(),
					0x8847,
					0,
					1,
					1,
					64,
					0x45,
				), a.eth("01:00:5e:00:00:05", 0x8848, 0, 1, 1, 64),
				a.udp("01:00:5e:00:00:02", "224.0.0.2", a.ip.String(), 646, 646, 0, 1),
			}
		}},
		{name: "IGMP, MLD", frames: func(a, _ *station) [][]byte {
			report := append([]byte{0x22, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0}, 239, 1, 2, 3)
			return [][]byte{
				a.ipv4("01:00:5e:00:00:16", "224.0.0.22", a.ip.String(), 2, report...),
				a.icmp6("::", 143, &layers.ICMPv6Echo{}), // as MLDv2's, which has 4 bytes more
			}
		}},
		{name: "IGMP from 0.0.0.0 (no address yet, snooping bridges)", frames: func(a, _ *station) [][]byte {
			report := append([]byte{0x22, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0}, 239, 1, 2, 3)
			return [][]byte{
				a.ipv4("01:00:5e:00:00:16", "224.0.0.22", "0.0.0.0", 2, report...),
				a.ipv4("01:00:5e:01:02:03", "239.1.2.3", "0.0.0.0", 2, 0x16, 0, 0, 0, 239, 1, 2, 3),
				a.ipv4("01:00:5e:00:00:02", "224.0.0.2", "0.0.0.0", 2, 0x17, 0, 0, 0, 239, 1, 2, 3),
			}
		}},
		{name: "mDNS, SSDP, LLMNR", frames: func(a, _ *station) [][]byte {
			return [][]byte{
				a.udp("01:00:5e:00:00:fb", "224.0.0.251", a.ip.String(), 5353, 5353, 0),
				a.udp("01:00:5e:7f:ff:fa", "239.255.255.250", a.ip.String(), 1900, 1900, 0),
				a.udp("01:00:5e:00:00:fc", "224.0.0.252", a.ip.String(), 5355, 5355, 0),
			}
		}},
		{
			name: "GRE, IPIP, ESP, SCTP, WireGuard, VXLAN, Geneve",
			frames: func(a, b *station) [][]byte {
				var list [][]byte
				for _, number := range []byte{47, 4, 50, 132} {
					list = append(list, toPeer(number, 0, 0, 8, 0)(a, b)...)
				}
				for _, to := range []uint16{51820, 4789, 6081} {
					list = append(
						list,
						a.udp(b.mac.String(), b.ip.String(), a.ip.String(), 40000, to, 1, 0, 0, 0),
					)
				}
				return list
			},
		},
	}
}

func redundancy() []row {
	return []row{
		{name: "VRRP with the port's MAC (keepalived)", frames: func(a, _ *station) [][]byte {
			return [][]byte{
				a.ipv4("01:00:5e:00:00:12", "224.0.0.18", a.ip.String(), 112, 0x31, 51, 100, 1),
				a.announces(a.mac, virtualIP),
			}
		}},
		{
			name:   "VRRP with its virtual MAC (keepalived `use_vmac`, FRR's vrrpd)",
			note:   "all routers: `--allow-mac 00:00:5e:00:01:00/ff:ff:ff:ff:ff:00`",
			frames: virtual("00:00:5e:00:01:33", "01:00:5e:00:00:12", "224.0.0.18", 112),
		},
		{
			name:   "CARP",
			frames: virtual("00:00:5e:00:01:07", "01:00:5e:00:00:12", "224.0.0.18", 112),
		},
		{name: "HSRP", frames: func(a, _ *station) [][]byte {
			const src = "00:00:0c:07:ac:01"
			return [][]byte{
				from(src, a.udp("01:00:5e:00:00:02", "224.0.0.2", a.ip.String(), 1985, 1985, 0)),
				from(src, a.announces(mac(src), virtualIP)),
			}
		}},
		{
			name: "a virtual IP that moves by gratuitous ARP (Pacemaker, MetalLB, kube-vip)",
			frames: each(func(a, _ *station) []byte {
				return a.announces(a.mac, virtualIP)
			}),
		},
	}
}

func linkLayer() []row {
	return []row{
		{name: "PTP over Ethernet (ptp4l -2)", frames: group("01:1b:19:00:00:00", 0x88f7, 0, 2)},
		{
			name:   "PTP over Ethernet, peer delay (gPTP)",
			frames: group("01:80:c2:00:00:0e", 0x88f7, 0x12, 2),
		},
		{name: "PTP over UDP (ptp4l -4)", frames: func(a, _ *station) [][]byte {
			return [][]byte{
				a.udp("01:00:5e:00:01:81", "224.0.1.129", a.ip.String(), 319, 319, 0, 2),
				a.udp("01:00:5e:00:00:6b", "224.0.0.107", a.ip.String(), 320, 320, 2, 2),
			}
		}},
		{name: "PPPoE", frames: func(a, b *station) [][]byte {
			return [][]byte{
				a.eth(everyone, 0x8863, 0x11, 9),
				a.eth(b.mac.String(), 0x8864, 0x11, 0, 0, 1, 0, 4, 0xc0, 0x21),
			}
		}},
		{name: "LLDP (lldpd)", frames: group("01:80:c2:00:00:0e", 0x88cc, 2, 7, 4)},
		{name: "CDP, VTP, UDLD", frames: each(func(a, _ *station) []byte {
			return a.llc("01:00:0c:cc:cc:cc", 0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0, 2, 180)
		})},
		{name: "LACP (bonding, teamd), OAM", frames: group("01:80:c2:00:00:02", 0x8809, 1, 1)},
		{
			name:   "EAPOL (802.1X: wpa_supplicant, hostapd)",
			frames: group("01:80:c2:00:00:03", 0x888e, 2, 1),
		},
		{name: "MACsec with MKA", frames: func(a, b *station) [][]byte {
			return [][]byte{
				a.eth("01:80:c2:00:00:03", 0x888e, 3, 5),
				a.eth(b.mac.String(), 0x88e5, 0x2c, 0),
			}
		}},
		{name: "flow control (802.3x, PFC)", frames: group("01:80:c2:00:00:01", 0x8808, 0, 1)},
		{name: "CFM (802.1ag, Y.1731)", frames: group("01:80:c2:00:00:35", 0x8902, 0xa0, 1)},
		{name: "Wake-on-LAN over UDP", frames: each(func(a, _ *station) []byte {
			return a.udp(everyone, "255.255.255.255", a.ip.String(), 40000, 9, 0xff, 0xff, 0xff)
		})},
		{
			name:   "Wake-on-LAN over Ethernet (ether-wake)",
			frames: group(everyone, 0x0842, 0xff, 0xff, 0xff),
		},
		{
			name:   "RARP (QEMU's after a migration)",
			frames: group(everyone, 0x8035, 0, 1, 8, 0, 6, 4, 0, 3),
		},
		{name: "TIPC", frames: group(everyone, 0x88ca, 0x5a)},
		{name: "batman-adv", frames: group(everyone, 0x4305, 0, 15)},
		{
			name:   "an EtherType of one's own (IEEE 802, local experiments)",
			frames: group(everyone, 0x88b5, 1),
		},
	}
}

func bridging() []row {
	return []row{
		{name: "STP, RSTP, MSTP", frames: each(func(a, _ *station) []byte {
			return a.llc("01:80:c2:00:00:00", 0x42, 0x42, 3, 0, 0, 2, 2)
		})},
		{name: "PVST+", frames: each(func(a, _ *station) []byte {
			return a.llc("01:00:0c:cc:cc:cd", 0xaa, 0xaa, 3, 0, 0, 0x0c, 1, 0x0b, 0, 0)
		})},
		{name: "GVRP, GMRP (GARP)", frames: func(a, _ *station) [][]byte {
			return [][]byte{
				a.llc(
					"01:80:c2:00:00:21",
					0x42,
					0x42,
					3,
					0,
					1,
					1,
				), a.llc("01:80:c2:00:00:20", 0x42, 0x42, 3, 0, 1, 1),
			}
		}},
		{name: "MVRP, MMRP, MSRP", frames: func(a, _ *station) [][]byte {
			return [][]byte{
				a.eth("01:80:c2:00:00:21", 0x88f5, 0, 1), a.eth("01:80:c2:00:00:20", 0x88f6, 0, 1),
				a.eth("01:80:c2:00:00:0e", 0x22ea, 0, 1),
			}
		}},
		{name: "802.1p: priority tags, VID 0", frames: each(func(a, b *station) []byte {
			return tagged(0x8100, 0xa000, toPeer(6, make([]byte, 20)...)(a, b)[0])
		})},
		{
			name: "VLAN (802.1Q), with an address of its own there",
			frames: func(a, b *station) [][]byte {
				return [][]byte{
					tagged(0x8100, 10, a.announces(a.mac, "10.10.0.2")),
					tagged(
						0x8100,
						10,
						a.ipv4(b.mac.String(), "10.10.0.3", "10.10.0.2", 6, make([]byte, 20)...),
					),
				}
			},
		},
		{name: "Q-in-Q (802.1ad)", frames: each(func(a, b *station) []byte {
			return tagged(0x88a8, 10, tagged(0x8100, 20, toPeer(6, make([]byte, 20)...)(a, b)[0]))
		})},
	}
}

func industry() []row {
	return []row{
		{name: "PROFINET", frames: func(a, b *station) [][]byte {
			return [][]byte{
				a.eth("01:0e:cf:00:00:00", 0x8892, 0xfe, 0xfe),
				a.eth(b.mac.String(), 0x8892, 0x80, 0),
			}
		}},
		{name: "EtherCAT", frames: group(everyone, 0x88a4, 0x0e, 0x10)},
		{name: "POWERLINK", frames: group("01:11:1e:00:00:01", 0x88ab, 1)},
		{name: "SERCOS III", frames: group(everyone, 0x88cd, 0)},
		{name: "IEC 61850: GOOSE, sampled values", frames: func(a, _ *station) [][]byte {
			return [][]byte{
				a.eth("01:0c:cd:01:00:01", 0x88b8, 0, 1),
				a.eth("01:0c:cd:04:00:01", 0x88ba, 0x40, 0),
			}
		}},
		{name: "AVTP (802.1AS beside it)", frames: group("91:e0:f0:00:fe:00", 0x22f0, 2)},
		{name: "AoE, FCoE", frames: func(a, _ *station) [][]byte {
			return [][]byte{
				a.eth(
					everyone,
					0x88a2,
					0x10,
				), a.eth("01:10:18:01:00:02", 0x8914, 0x10), a.eth("0e:fc:00:ff:ff:fe", 0x8906, 0),
			}
		}},
		{name: "RoCE of version 1", frames: group("0e:fc:00:ff:ff:fe", 0x8915, 0x60)},
		{name: "RoCE of version 2", frames: each(func(a, b *station) []byte {
			return a.udp(b.mac.String(), b.ip.String(), a.ip.String(), 49152, 4791, 4)
		})},
	}
}

func addresses() []row {
	return []row{
		{
			name: "gratuitous ARP for the port's own address",
			frames: each(func(a, _ *station) []byte {
				return a.announces(a.mac, a.ip.String())
			}),
		},
		{name: "duplicate address detection by ARP", works: probesARP, by: "arping -D"},
		{name: "DHCP client", works: getsLease, by: "udhcpc", client: true},
		{name: "DHCP server", frames: each(func(a, b *station) []byte {
			return a.udp(b.mac.String(), b.ip.String(), a.ip.String(), 67, 68, 2, 1, 6)
		})},
		{name: "DHCPv6 client, router solicitations", frames: func(a, _ *station) [][]byte {
			return [][]byte{
				a.udp("33:33:00:01:00:02", "ff02::1:2", a.linkLocal(), 546, 547, 1),
				a.icmp6(
					a.linkLocal(),
					layers.ICMPv6TypeRouterSolicitation,
					&layers.ICMPv6RouterSolicitation{},
				),
			}
		}},
		{
			name: "router advertisements (radvd), DHCPv6 server",
			frames: func(a, _ *station) [][]byte {
				return [][]byte{
					a.icmp6(
						a.linkLocal(),
						layers.ICMPv6TypeRouterAdvertisement,
						&layers.ICMPv6RouterAdvertisement{HopLimit: 64},
					),
					a.udp("33:33:00:00:00:01", "ff02::1", a.linkLocal(), 547, 546, 2),
				}
			},
		},
		{name: "IPv6 link-local address by the port's MAC", frames: func(a, _ *station) [][]byte {
			return [][]byte{
				a.solicits("::", a.linkLocal()),
				a.advertises(a.linkLocal(), a.linkLocal()),
			}
		}},
		{
			name: "IPv6 link-local address by RFC 7217 (stable privacy)",
			frames: func(a, _ *station) [][]byte {
				return [][]byte{
					a.solicits("::", privateIP),
					a.advertises(privateIP, privateIP),
					a.udp("33:33:00:00:00:fb", "ff02::fb", privateIP, 5353, 5353, 0),
				}
			},
		},
		{
			name: "IPv6 SLAAC, temporary addresses (RFC 8981)", note: "or the network: `--allow-address 2001:db8:1::/64`",
			frames: func(a, _ *station) [][]byte {
				return [][]byte{
					a.solicits("::", globalIP),
					a.advertises(globalIP, globalIP),
					a.udp("33:33:00:00:00:01", "ff02::1", globalIP, 9, 9, 0),
				}
			},
		},
	}
}

func inside() []row {
	return []row{
		{name: "a macvlan in the container", works: pingsByMacvlan, by: "the kernel"},
		{
			name: "a bridge in the container (virtual machines, Docker in it)", works: pingsThroughBridge, by: "the kernel",
			note: "all of QEMU's: `--allow-mac 52:54:00:00:00:00/ff:ff:ff:00:00:00`",
		},
		{
			name: "a router in the container (VPN server)", works: pingsThroughRouter, by: "the kernel",
			note: "or the network: `--allow-address 10.8.0.0/24`",
		},
		{
			name:   "a router in the container that translates (NAT)",
			frames: toPeer(6, make([]byte, 20)...),
		},
	}
}
