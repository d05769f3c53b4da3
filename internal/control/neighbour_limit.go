package control

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// neighbourLimit is how many neighbours the kernel holds for all namespaces together, where it
// says so: only the first namespace has the setting (neigh_alloc, net/core/neighbour.c).
func (d *Control) neighbourLimit() (limit int, ok bool) {
	file := filepath.Join(d.config.SysctlDir, "net/ipv4/neigh/default/gc_thresh3")
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	limit, err = strconv.Atoi(strings.TrimSpace(string(text)))
	return limit, err == nil
}

// neighboursNeeded is how many neighbours the kernel holds when the host talks with all ports:
// each of them at the host link, and the gateway at each of them.
func (d *Control) neighboursNeeded() (n int) {
	for _, p := range d.ports {
		if p.segment.host != nil {
			n += 2
		}
	}
	return n
}

// checkNeighbourLimit warns, once, when the kernel has no room for the ports' neighbours.
func (d *Control) checkNeighbourLimit() {
	if d.neighboursWarned {
		return
	}
	limit, ok := d.neighbourLimit()
	if need := d.neighboursNeeded(); ok && need > limit {
		d.neighboursWarned = true
		d.log.Warn("the kernel's neighbour table, which all containers share, has no room for all ports "+
			"of segments with a host link: raise net.ipv4.neigh.default.gc_thresh3, and gc_thresh2 with it",
			"gc_thresh3", limit, "needed", need)
	}
}
