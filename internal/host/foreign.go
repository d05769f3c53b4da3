package host

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/google/nftables"
)

// LinkPrefix begins the names of the host's links in segments. Rules of others
// that speak of such a name are taken for the user's answer to our warning.
const LinkPrefix = "vs-"

// foreign is a chain of others that drops what it does not know. The kernel asks
// all chains at a hook: one that accepts does not overrule one that drops.
type foreign struct {
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

func (f foreign) String() string {
	return fmt.Sprintf("%s %s %s", familyNames[f.family], f.table, f.chain)
}

// remedy says what lets our packets through f. In front of Docker's rules it names the
// way out, so that Docker's containers stay behind them.
func (f foreign) remedy() string {
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

// warn tells the log of chains of others that stop what we forward, once each.
func (t *Table) warn() {
	found, err := t.foreign()
	if err != nil {
		t.log.Warn("cannot look whether other firewall rules are in the way", "error", err)
		return
	}
	warned := make(map[foreign]bool, len(found))
	for _, f := range found {
		if warned[f] = true; !t.warned[f] {
			t.log.Warn("another firewall drops what it does not know, and so keeps containers from the outside and published ports closed",
				"chain", f.String(), "remedy", f.remedy())
		}
	}
	t.warned = warned
}

// foreign finds the chains at the hook of forwarding, of other tables, that end
// with a refusal and whose tables do not know our links.
func (t *Table) foreign() (found []foreign, err error) {
	chains, err := t.conn().ListChains()
	if err != nil {
		return nil, err
	}
	for _, c := range chains {
		if c.Table == nil || c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookForward || familyNames[c.Table.Family] == "" ||
			c.Table.Name == firewalldReload || c.Table.Family == t.table.Family && c.Table.Name == t.table.Name {
			continue
		}
		refuses := c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
		if !refuses {
			if refuses, err = t.endsWithReject(c); err != nil {
				return nil, err
			}
		}
		if !refuses {
			continue
		}
		known, err := t.mentionsLinks(c.Table)
		if err != nil {
			return nil, err
		}
		if !known {
			docker := slices.ContainsFunc(chains, func(o *nftables.Chain) bool {
				return o.Name == dockerUser && o.Table != nil && o.Table.Family == c.Table.Family && o.Table.Name == c.Table.Name
			})
			found = append(found, foreign{c.Table.Family, c.Table.Name, c.Name, docker})
		}
	}
	return found, nil
}

// endsWithReject says whether the last rule of c refuses everything, as that of
// firewalld does. A rule with a condition has a comparison or a lookup in it.
func (t *Table) endsWithReject(c *nftables.Chain) (bool, error) {
	rules, err := t.rules(c.Table, c.Name)
	if err != nil || len(rules) == 0 {
		return false, err
	}
	last := rules[len(rules)-1].Data
	return bytes.Contains(last, []byte("reject\x00")) &&
		!bytes.Contains(last, []byte("cmp\x00")) && !bytes.Contains(last, []byte("lookup\x00")), nil
}

func (t *Table) mentionsLinks(table *nftables.Table) (bool, error) {
	rules, err := t.rules(table, "")
	for _, r := range rules {
		if bytes.Contains(r.Data, []byte(LinkPrefix)) {
			return true, err
		}
	}
	return false, err
}
