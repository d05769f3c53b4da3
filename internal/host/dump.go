package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// missing tells that a table or chain is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// rules are those of a chain, or of all chains of the table if chain is empty, as
// netlink messages. Those of others are searched for a few words only, and never
// decoded: who knows what is in them.
func (t *Table) rules(table *nftables.Table, chain string) ([]netlink.Message, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(t.ns.Fd())})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	attributes := netlink.NewAttributeEncoder()
	attributes.String(unix.NFTA_RULE_TABLE, table.Name)
	if chain != "" {
		attributes.String(unix.NFTA_RULE_CHAIN, chain)
	}
	encoded, err := attributes.Encode()
	if err != nil {
		return nil, err
	}
	messages, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE, Flags: netlink.Request | netlink.Dump},
		// struct nfgenmsg (include/uapi/linux/netfilter/nfnetlink.h): family, version, no resource
		Data: append([]byte{byte(table.Family), unix.NFNETLINK_V0, 0, 0}, encoded...),
	})
	if missing(err) {
		return nil, nil
	}
	return messages, err
}

// handle is the number of a rule, which no other one gets.
func handle(rule netlink.Message) uint64 {
	if len(rule.Data) < 4 {
		return 0
	}
	attributes, err := netlink.NewAttributeDecoder(rule.Data[4:])
	if err != nil {
		return 0
	}
	attributes.ByteOrder = binary.BigEndian
	for attributes.Next() {
		if attributes.Type() == unix.NFTA_RULE_HANDLE {
			return attributes.Uint64()
		}
	}
	return 0
}

// fingerprint is a text that differs when anything of ours in the table does. A
// rule is known by its handle: the kernel does not change rules, and what replaces
// one has another handle.
func (t *Table) fingerprint() (string, error) {
	text, _, err := t.look()
	return text, err
}

// look is the fingerprint, and how many chains and rules it is of.
func (t *Table) look() (text string, objects int, err error) {
	conn := t.conn()
	chains, sets, err := t.own(conn)
	if err != nil {
		return "", 0, err
	}
	var lines []string
	objects = len(chains)
	for _, c := range chains {
		rules, err := t.rules(t.table, c.Name)
		if err != nil {
			return "", 0, err
		}
		objects += len(rules)
		line := "chain " + c.Name
		if c.Policy != nil {
			line = fmt.Sprintf("%s policy %d", line, *c.Policy)
		}
		for _, r := range rules {
			line = fmt.Sprintf("%s %d", line, handle(r))
		}
		lines = append(lines, line)
	}
	for _, s := range sets {
		elements, err := conn.GetSetElements(s)
		if err != nil {
			return "", 0, err
		}
		for _, e := range elements {
			lines = append(lines, fmt.Sprintf("element of %s: %x %x %t", s.Name, e.Key, e.Val, e.IntervalEnd))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), objects, nil
}
