package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// missing tells that a table or chain is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// listRules returns the rules of a chain, or of all chains of the table if chain is empty, as
// netlink messages. Those of others are searched for a few words only, and never
// decoded: who knows what is in them.
func (s *session) listRules(table *nftables.Table, chain string) ([]netlink.Message, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: s.ns})
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
		Header: netlink.Header{
			Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE,
			Flags: netlink.Request | netlink.Dump,
		},
		// struct nfgenmsg (include/uapi/linux/netfilter/nfnetlink.h): family, version, no resource
		Data: append([]byte{byte(table.Family), unix.NFNETLINK_V0, 0, 0}, encoded...),
	})
	if missing(err) {
		return nil, nil
	}
	return messages, err
}

// identify returns the chain that a rule is in and the rule's number, which no other one gets.
func identify(rule netlink.Message) (chain string, handle uint64) {
	if len(rule.Data) < headerSize {
		return "", 0
	}
	attributes, err := netlink.NewAttributeDecoder(rule.Data[headerSize:])
	if err != nil {
		return "", 0
	}
	attributes.ByteOrder = binary.BigEndian
	for attributes.Next() {
		switch attributes.Type() {
		case unix.NFTA_RULE_CHAIN:
			chain = attributes.String()
		case unix.NFTA_RULE_HANDLE:
			handle = attributes.Uint64()
		}
	}
	return chain, handle
}

// look returns what our table consists of now, and how many chains and rules that is. A rule is
// known by its handle: the kernel does not change rules, and what replaces one has another handle.
func (s *session) look() (found snapshot, objects int, err error) {
	chains, err := s.ownChains()
	if err != nil || len(chains) == 0 {
		return snapshot{}, 0, err
	}
	rules, err := s.listRules(s.table, "")
	if err != nil {
		return snapshot{}, 0, err
	}
	lines := make(map[string]string, len(chains))
	for _, c := range chains {
		lines[c.Name] = "chain " + c.Name
		if c.Policy != nil {
			lines[c.Name] = fmt.Sprintf("%s policy %d", lines[c.Name], *c.Policy)
		}
	}
	objects = len(chains)
	for _, r := range rules {
		chain, handle := identify(r)
		if line, ours := lines[chain]; ours {
			lines[chain] = fmt.Sprintf("%s %d", line, handle)
			objects++
		}
	}
	found.objects = strings.Join(slices.Sorted(maps.Values(lines)), "\n")
	found.content, err = s.lookAtSets()
	return found, objects, err
}

// lookAtSets returns what our sets hold. One that is missing is an error.
func (s *session) lookAtSets() (content, error) {
	all := make(content)
	for id, set := range s.sets {
		elements, err := s.conn.GetSetElements(set)
		if err != nil {
			return nil, fmt.Errorf("read the nftables set %s: %w", set.Name, err)
		}
		all.addFound(setID(id), elements)
	}
	return all, nil
}
