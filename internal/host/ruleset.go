package host

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// UserChain is the chain in our table that is the user's: every packet that the
// host forwards from or to a segment goes through it before we accept it. Its
// rules are never changed by us.
const UserChain = "user"

// The names of what else we own in the table.
const (
	chainGuard   = "guard"
	chainHost    = "host"
	chainPublish = "publish"
	chainLocal   = "local"
	chainForward = "forward"
	chainOthers  = "others"
	chainSource  = "source"
)

var ownChains = []string{chainGuard, chainHost, chainLocal, chainPublish, chainForward, chainOthers, chainSource}

// ruleset is the objects of our table. They are the same for every [Config]: the rules speak of
// sets and maps, and what differs is the [content] of those.
type ruleset struct {
	table  *nftables.Table
	chains []*nftables.Chain
	sets   []*nftables.Set
	rules  []*nftables.Rule
}

// newRuleset builds the objects of the table.
//
//	prerouting   guard:   drop what no container may send to the host
//	             host:    to the host itself, but for a segment's resolver -> publish
//	output       local:   the same for the host's own programs
//	             publish: send published ports to their containers
//	forward      forward: the wall between segments and before them; the user's chain
//	             others:  what is not of segments, and was not forwarded before there were any
//	postrouting  source:  take the host's address where the answer must pass it
func newRuleset(table *nftables.Table) *ruleset {
	r := &ruleset{table: table}
	for id := range kinds {
		r.set(setID(id))
	}
	links, subnets := r.sets[setLinks], r.sets[setSubnets]
	r.chain(&nftables.Chain{Name: UserChain}) // first, as it is when the others are made again
	r.guard(links)
	r.publish(links, r.sets[mapAny], r.sets[mapOne])
	r.forward(links)
	r.source(links, subnets)
	return r
}

// guard keeps addresses of others out. The kernel drops 127.0.0.0/8 on its own
// only while route_localnet is off, which publishing on 127.0.0.1 turns on.
func (r *ruleset) guard(links *nftables.Set) {
	c := r.base(chainGuard, nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	drop := verdict(expr.VerdictDrop, "")
	r.rule(c, "containers do not reach the host's loopback", from(links), loopback(offsetDestination), drop)
	r.rule(c, "nor come from it", from(links), loopback(offsetSource), drop)
	r.rule(c, "sources must be in their segment", from(links), misplaced(), drop)
}

func (r *ruleset) publish(links, anyMap, oneMap *nftables.Set) {
	publish := r.chain(&nftables.Chain{Name: chainPublish})
	r.rule(publish, "ports published on one address", redirect(oneMap, true))
	r.rule(publish, "ports published on all addresses", redirect(anyMap, false))

	host := r.base(chainHost, nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	for _, p := range []Protocol{UDP, TCP} {
		r.rule(host, "a segment's resolver is its own", from(links), toResolver(p), verdict(expr.VerdictReturn, ""))
	}
	r.rule(host, "the host's loopback is its own", loopback(offsetDestination), verdict(expr.VerdictReturn, ""))
	r.rule(host, "", toHost(), verdict(expr.VerdictJump, chainPublish))
	local := r.base(chainLocal, nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	r.rule(local, "", toHost(), verdict(expr.VerdictJump, chainPublish))
}

// forward is the wall. What is dropped here is dropped whatever others accept; what
// is accepted here others may still drop.
func (r *ruleset) forward(links *nftables.Set) {
	r.others()
	c := r.base(chainForward, nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	accept, drop := verdict(expr.VerdictAccept, ""), verdict(expr.VerdictDrop, "")
	r.rule(c, "not ours", notFrom(links), notTo(links), verdict(expr.VerdictGoto, chainOthers))
	r.rule(c, "segments are IPv4 here", family(nftables.TableFamilyIPv6), drop)
	r.rule(c, "would leave with its inner address", state(expr.CtStateBitINVALID), drop)
	r.rule(c, "segments are apart", from(links), to(links), published(false), drop)
	r.rule(c, "", verdict(expr.VerdictJump, UserChain))
	r.rule(c, "", state(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept)
	r.rule(c, "segment to outside", from(links), notTo(links), accept)
	r.rule(c, "published ports", published(true), accept)
	r.rule(c, "outside to segment", drop)
}

// others keeps the host from becoming a router between networks that it had before. Bridges and
// veths that were made since are networks of somebody who relies on forwarding: container engines
// find it on, and leave to us what dockerd does when it turns it on itself, which is to drop what
// is not its own (setupIPForwarding in libnetwork/drivers/bridge of moby). A bridge's frames to
// itself pass here where br_netfilter shows them to IP.
func (r *ruleset) others() {
	c := r.chain(&nftables.Chain{Name: chainOthers})
	before, accept := r.sets[setBefore], verdict(expr.VerdictAccept, "")
	for _, kind := range []string{"bridge", "veth"} {
		r.rule(c, "a network made since", made(metaInKind, kind), through(expr.MetaKeyIIF, before, false), accept)
		r.rule(c, "a network made since", made(metaOutKind, kind), through(expr.MetaKeyOIF, before, false), accept)
	}
	r.rule(c, "bridged", unmoved(r.sets[setBridged]), accept)
	r.rule(c, "the host did not forward before", protocolIn(r.sets[setUnrouted]), verdict(expr.VerdictDrop, ""))
	r.rule(c, "", accept)
}

func (r *ruleset) source(links, subnets *nftables.Set) {
	c := r.base(chainSource, nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	masquerade := match{&expr.Masq{}}
	r.rule(c, "from the host's loopback to a published port", to(links), loopback(offsetSource), masquerade)
	r.rule(c, "from the host in one segment to a published port in another",
		to(links), published(true), source(subnets), fromHost(), masquerade)
	r.rule(c, "from a segment to a published port", from(links), to(links), masquerade)
	r.rule(c, "segment to outside", notTo(links), source(subnets), masquerade)
}

func (r *ruleset) chain(c *nftables.Chain) *nftables.Chain {
	c.Table = r.table
	r.chains = append(r.chains, c)
	return c
}

func (r *ruleset) base(name string, t nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
	policy := nftables.ChainPolicyAccept
	return r.chain(&nftables.Chain{Name: name, Type: t, Hooknum: hook, Priority: priority, Policy: &policy})
}

// set makes a set or map. Its number must be its own within a transaction only.
func (r *ruleset) set(id setID) {
	kind := kinds[id]
	s := &nftables.Set{
		Table: r.table, ID: uint32(id) + 1, Name: kind.name, KeyType: kind.key,
		Interval: kind.ranges, IsMap: kind.value.Bytes > 0, DataType: kind.value,
		KeyByteOrder: binaryutil.BigEndian, // this only tells nft how to show it
	}
	s.Concatenation = s.IsMap || id == setBridged
	if id == setLinks || id == setBefore || id == setBridged {
		s.KeyByteOrder = binaryutil.NativeEndian
	}
	r.sets = append(r.sets, s)
}

// rule appends a rule to c, with a comment that nft list shows.
func (r *ruleset) rule(c *nftables.Chain, comment string, parts ...match) {
	rule := &nftables.Rule{Table: r.table, Chain: c, Exprs: slices.Concat(parts...)}
	if comment != "" {
		rule.UserData = userdata.AppendString(nil, userdata.TypeComment, comment)
	}
	r.rules = append(r.rules, rule)
}

// objects is how many chains and rules there are, without the user's.
func (r *ruleset) objects() int {
	return len(r.chains) - 1 + len(r.rules)
}
