package model_test

import (
	"net/netip"
	"strings"
	"testing"

	"vswitch/internal/control/model"
	"vswitch/internal/control/model/modeltest"
)

func TestASegmentKeepsTheSubnetOfADeletedPool(t *testing.T) {
	t.Parallel()
	s := newState(t, modeltest.Sample())
	pool := modeltest.Pool(2)
	after, deltas, err := s.With(model.DeletePool(pool.ID), model.DeletePool(pool.ID)) // twice is no error
	if err != nil {
		t.Fatal(err)
	}
	want := modeltest.Sample()
	want.Pools = nil
	want.Segments[1].Subnets[0].PoolID = ""
	wantRecords(t, after, want)
	wantDeltas(t, deltas,
		model.Delta{Kind: model.KindSegment, Key: want.Segments[1].ID, Record: want.Segments[1]},
		model.Delta{Kind: model.KindPool, Key: pool.ID})
	if _, _, err := after.With(model.PutSegment(modeltest.Sample().Segments[1])); err == nil {
		t.Error("a segment over a pool that is gone was taken")
	}
	wantRecords(t, s, modeltest.Sample())
}

func TestAPoolThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	s := newState(t, modeltest.Sample())
	for want, edit := range map[string]func(*model.Pool){
		"64 hex digits":      func(p *model.Pool) { p.ID = "x" },
		"host bits":          func(p *model.Pool) { p.Prefix = netip.PrefixFrom(p.Gateway, p.Prefix.Bits()) },
		"gateway":            func(p *model.Pool) { p.Gateway = modeltest.Pool(3).Gateway },
		"lease":              func(p *model.Pool) { p.Leases = append(p.Leases, p.Leases[0]) },
		"50001 leases":       func(p *model.Pool) { p.Leases = make([]netip.Addr, model.MaxLeases+1) },
		"lease 10.3.0.3 is":  func(p *model.Pool) { p.Leases = append(p.Leases, modeltest.Pool(3).Leases[0]) },
		"lease fe80::1%eth0": func(p *model.Pool) { p.Leases = append(p.Leases, netip.MustParseAddr("fe80::1%eth0")) },
		"the gateway's":      func(p *model.Pool) { p.Leases = append(p.Leases, p.Gateway) },
		"over it":            func(p *model.Pool) { fresh := modeltest.Pool(3); fresh.ID = p.ID; *p = fresh },
	} {
		pool := modeltest.Pool(2)
		edit(&pool)
		if _, _, err := s.With(model.PutPool(pool)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
}
