package control

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"vswitch/internal/counters"
	vswitch "vswitch/switch"
	"vswitch/switch/policy"
)

// keptCounters are the counters of ports, host links and rules. They lie in memory that whoever
// supervises us keeps, so that a process which takes our place goes on from where we were, also
// when we were killed. What is counted has its block for as long as the state has it, whatever
// becomes of its place in the switch.
type keptCounters struct {
	log   *slog.Logger
	ports *counters.Table // and host links
	rules *counters.Table
}

// The names under which their memory is kept.
const (
	keptPortCounters = "counters"
	keptRuleHits     = "hits"
)

// Kinds of what is counted.
const (
	countsPort     = "port"
	countsHostLink = "host link"
	countsRule     = "rule"
)

// Bounds of what is counted beyond this process. There is room for 8,192 ports with 1,024
// segments, and rules that are one too many are counted for as long as the process lives.
const (
	maxPortCounters = 16384
	maxRuleHits     = 65536
)

// openCounters makes the counters of what was kept for us.
func openCounters(c Config) *keptCounters {
	k := &keptCounters{log: c.Log}
	k.ports = k.open(c, keptPortCounters, counters.Layout{
		Names: vswitch.CounterNames(), Words: vswitch.CounterWords, Shares: c.Workers,
		Blocks: maxPortCounters, Recover: vswitch.RecoverCounters,
	})
	k.rules = k.open(c, keptRuleHits, counters.Layout{
		Names: []string{"hits"}, Words: policy.HitWords, Shares: c.Workers, Blocks: maxRuleHits,
	})
	return k
}

// open makes the table that was kept under a name, or another if there is none of use, and has
// it kept for the next process.
func (k *keptCounters) open(c Config, name string, l counters.Layout) *counters.Table {
	fds := c.Kept.Take(name)
	table, fresh := k.restore(fds, name, l)
	if table != nil && !fresh && len(fds) == 1 {
		return table // kept already
	}
	var err error
	if table == nil {
		table, err = counters.New(name, l)
	}
	if err == nil && len(fds) > 0 {
		err = c.Keeper.Drop(name)
	}
	if err == nil {
		err = errors.Join(c.Keeper.Keep(name, table.Fd()), c.Keeper.Sync(context.Background()))
	}
	if err != nil {
		k.log.Warn("counters will begin anew with the next process", "of", name, "error", err)
	}
	if table == nil {
		table = counters.Private(l)
	}
	return table
}

// restore makes the table of the first of the descriptors that is of use, or nil.
func (k *keptCounters) restore(
	fds []int, name string, l counters.Layout,
) (table *counters.Table, fresh bool) {
	for _, fd := range fds {
		if table != nil {
			_ = os.NewFile(uintptr(fd), name).Close()
			continue
		}
		var err error
		if table, fresh, err = counters.Restore(fd, name, l); err != nil {
			k.log.Warn("counters begin anew: those that were kept are of no use", "of", name,
				"error", err)
		}
	}
	return table, fresh
}

// take returns the block of something that is counted: the one that it has, or a new one.
func (k *keptCounters) take(kind, id string) *counters.Block {
	b, err := k.table(kind).Take(counters.NewID(kind, id))
	if err != nil {
		k.log.Warn("counters of one "+kind+" will begin anew with the next process", "id", id,
			"error", err)
	}
	return b
}

// release ends the block of something that the state no longer has, and in which nothing counts.
func (k *keptCounters) release(kind, id string) {
	k.table(kind).Release(counters.NewID(kind, id))
}

func (k *keptCounters) table(kind string) *counters.Table {
	if kind == countsRule {
		return k.rules
	}
	return k.ports
}

// releaseRest ends the blocks of what the state did not have at the start: its end was stored,
// or its making never was.
func (k *keptCounters) releaseRest() {
	k.ports.ReleaseRest()
	k.rules.ReleaseRest()
}

func (k *keptCounters) close() error { return errors.Join(k.ports.Close(), k.rules.Close()) }
