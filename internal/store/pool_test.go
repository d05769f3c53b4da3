package store

import (
	"net/netip"
	"testing"
)

func TestASegmentKeepsTheSubnetOfADeletedPool(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, Options{})
	putAll(t, db, sample())
	must(t, db.Apply(DeletePool(aPool(2).ID)))
	must(t, db.Apply(DeletePool(aPool(2).ID))) // once more is no error
	want := sample()
	want.Pools, want.Segments[1].PoolID = nil, ""
	wantState(t, db, want)
	wantError(t, db.Apply(PutSegment(sample().Segments[1])), "pool", "does not exist")
	must(t, db.Close())
	wantDisk(t, dir, want)
}

func TestAPoolThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), Options{})
	putAll(t, db, sample())
	for want, edit := range map[string]func(*Pool){
		"64 hex digits": func(p *Pool) { p.ID = "x" },
		"host bits":     func(p *Pool) { p.Subnet = netip.PrefixFrom(p.Gateway, p.Subnet.Bits()) },
		"gateway":       func(p *Pool) { p.Gateway = aPool(3).Gateway },
		"lease":         func(p *Pool) { p.Leases = append(p.Leases, p.Leases[0]) },
		"the gateway's": func(p *Pool) { p.Leases = append(p.Leases, p.Gateway) },
		"over it":       func(p *Pool) { fresh := aPool(3); fresh.ID = p.ID; *p = fresh },
	} {
		pool := aPool(2)
		edit(&pool)
		wantError(t, db.Apply(PutPool(pool)), "put pool", want)
	}
	wantState(t, db, sample())
}
