package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/google/nftables"
)

// LinkPrefix begins the names of the host's links in segments. Rules of others
// that speak of such a name are taken for the user's answer to our warning.
const LinkPrefix = "vs-"

// Foreign is a chain of others that drops what it does not know. The kernel asks
// all chains at a hook: one that accepts does not overrule one that drops.
type Foreign struct {
	family nftables.TableFamily
	table  string
	chain  string
	docker bool // the table has Docker's chain for the user's rules
}

// dockerUser is that chain (docs.docker.com/engine/network/firewall-iptables).
const dockerUser = "DOCKER-USER"

// firewalldReload is the table by which firewalld keeps packets out for the moment in
// which it loads its rules anew.
const firewalldReload = "firewalld_policy_drop"

// familyNames are nft's.
var familyNames = map[nftables.TableFamily]string{nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip"}

// String returns the family, table and chain, as nft takes them.
func (f Foreign) String() string {
	return fmt.Sprintf("%s %s %s", familyNames[f.family], f.table, f.chain)
}

// Remedy returns the commands that let our packets through f. In front of Docker's rules they
// name the way out, so that Docker's containers stay behind them.
func (f Foreign) Remedy() string {
	switch {
	case f.docker:
		return fmt.Sprintf("iptables -I %s -i %s+ -o OUT -j ACCEPT; iptables -I %[1]s -o %[2]s+ -j ACCEPT, where OUT is the host's outer interface", dockerUser, LinkPrefix)
	case f.family == nftables.TableFamilyIPv4 && f.table == "filter":
		return fmt.Sprintf("iptables -I %s -i %s+ -j ACCEPT; iptables -I %[1]s -o %[2]s+ -j ACCEPT", f.chain, LinkPrefix)
	case f.table == "firewalld":
		return fmt.Sprintf("firewall-cmd --permanent --zone=trusted --add-interface=%s+ && firewall-cmd --reload", LinkPrefix)
	default:
		return fmt.Sprintf(`nft insert rule %s iifname "%s*" accept; nft insert rule %[1]s oifname "%[2]s*" accept`, f, LinkPrefix)
	}
}

// Foreign returns the chains of others that drop what we forward, as the last look of
// [Table.Run] at the rules of others has found them. It waits for nobody. The caller must not
// change what it returns.
func (t *Table) Foreign() []Foreign {
	if found := t.inTheWay.Load(); found != nil {
		return *found
	}
	return nil
}

// inspect looks at the rules of others, and tells the log of chains that stop what we forward,
// once each. It takes as long as there are rules, and so holds no lock.
func (t *Table) inspect() {
	var found []Foreign
	err := t.talk(func(s *session) (err error) {
		found, err = s.foreign()
		return err
	})
	if errors.Is(err, os.ErrClosed) {
		return
	}
	if err != nil {
		t.log.Warn("cannot look whether other firewall rules are in the way", "error", err)
		return
	}
	before := t.Foreign()
	t.inTheWay.Store(&found)
	for _, f := range found {
		if !slices.Contains(before, f) {
			t.log.Warn("another firewall drops what it does not know, and so keeps containers "+
				"from the outside and published ports closed", "chain", f.String(), "remedy", f.Remedy())
		}
	}
	t.log.Debug("rules of others inspected", "in_the_way", len(found))
}

// foreign finds the chains at the hook of forwarding, of other tables, that end
// with a refusal and whose tables do not know our links.
func (s *session) foreign() (found []Foreign, err error) {
	chains, err := s.conn.ListChains()
	if err != nil {
		return nil, err
	}
	for _, c := range chains {
		if c.Table == nil || c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookForward || familyNames[c.Table.Family] == "" ||
			c.Table.Name == firewalldReload || c.Table.Family == s.table.Family && c.Table.Name == s.table.Name {
			continue
		}
		refuses := c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
		if !refuses {
			if refuses, err = s.endsWithReject(c); err != nil {
				return nil, err
			}
		}
		if !refuses {
			continue
		}
		known, err := s.mentionsLinks(c.Table)
		if err != nil {
			return nil, err
		}
		if !known {
			docker := slices.ContainsFunc(chains, func(o *nftables.Chain) bool {
				return o.Name == dockerUser && o.Table != nil && o.Table.Family == c.Table.Family && o.Table.Name == c.Table.Name
			})
			found = append(found, Foreign{c.Table.Family, c.Table.Name, c.Name, docker})
		}
	}
	return found, nil
}

// endsWithReject says whether the last rule of c refuses everything, as that of
// firewalld does. A rule with a condition has a comparison or a lookup in it.
func (s *session) endsWithReject(c *nftables.Chain) (bool, error) {
	rules, err := s.listRules(c.Table, c.Name)
	if err != nil || len(rules) == 0 {
		return false, err
	}
	last := rules[len(rules)-1].Data
	return bytes.Contains(last, []byte("reject\x00")) &&
		!bytes.Contains(last, []byte("cmp\x00")) && !bytes.Contains(last, []byte("lookup\x00")), nil
}

func (s *session) mentionsLinks(table *nftables.Table) (bool, error) {
	rules, err := s.listRules(table, "")
	for _, r := range rules {
		if bytes.Contains(r.Data, []byte(LinkPrefix)) {
			return true, err
		}
	}
	return false, err
}
