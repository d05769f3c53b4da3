package control

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// neighbourLimit is how many neighbours the kernel holds for all namespaces together, where it
// says so: only the first namespace has the setting (neigh_alloc, net/core/neighbour.c).
func (nb *neighbours) neighbourLimit() (limit int, ok bool) {
	file := filepath.Join(nb.config.SysctlDir, "net/ipv4/neigh/default/gc_thresh3")
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	limit, err = strconv.Atoi(strings.TrimSpace(string(text)))
	return limit, err == nil
}

// neighboursNeeded is how many neighbours the kernel holds when the host talks with all ports:
// each of them at the host link, and the gateway at each of them.
func (nb *neighbours) neighboursNeeded() (n int) {
	for _, p := range nb.allPorts {
		if p.segment.host != nil {
			n += 2
		}
	}
	return n
}

// checkNeighbourLimit warns, once, when the kernel has no room for the ports' neighbours.
func (nb *neighbours) checkNeighbourLimit() {
	if nb.warned {
		return
	}
	limit, ok := nb.neighbourLimit()
	if need := nb.neighboursNeeded(); ok && need > limit {
		nb.warned = true
		nb.log.Warn("the kernel's neighbour table, which all containers share, has no room for all ports "+
			"of segments with a host link: raise net.ipv4.neigh.default.gc_thresh3, and gc_thresh2 with it",
			"gc_thresh3", limit, "needed", need)
	}
}
