package load

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/internal/netns"
)

// Counters are read until they stay, for frames that are still on their way.
const (
	settleStep = 20 * time.Millisecond
	settleMost = time.Second
)

// receiveCounters are the rx_packets counters of some interfaces.
type receiveCounters struct {
	files  []int // /proc/net/dev as seen from each interface's namespace
	names  []string
	buffer []byte
}

// add opens the counters of e. The file shows the namespace of whoever opened it
// (fs/proc/proc_net.c), so it can be read from anywhere.
func (c *receiveCounters) add(e Endpoint) error {
	return enterNamespace(e.Namespace, func() error {
		fd, err := unix.Open("/proc/thread-self/net/dev", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		c.files = append(c.files, fd)
		c.names = append(c.names, e.IfName)
		return nil
	})
}

func (c *receiveCounters) close() {
	for _, fd := range c.files {
		unix.Close(fd)
	}
}

// sum is that of all counters.
func (c *receiveCounters) sum() (uint64, error) {
	if c.buffer == nil {
		c.buffer = make([]byte, 64<<10)
	}
	var total uint64
	for i, fd := range c.files {
		n, err := unix.Pread(fd, c.buffer, 0)
		if err != nil {
			return 0, fmt.Errorf("read counters: %w", err)
		}
		packets, err := rxPackets(c.buffer[:n], c.names[i])
		if err != nil {
			return 0, err
		}
		total += packets
	}
	return total, nil
}

// settled is the sum once nothing more arrives.
func (c *receiveCounters) settled() (uint64, error) {
	last, err := c.sum()
	for waited := time.Duration(0); err == nil && waited < settleMost; waited += settleStep {
		sleep(settleStep)
		var now uint64
		if now, err = c.sum(); now == last {
			break
		}
		last = now
	}
	return last, err
}

// settledAfter is settled, but waits for the first frame since the count before,
// which on a busy machine may take its time.
func (c *receiveCounters) settledAfter(before uint64) (uint64, error) {
	for begin := time.Now(); ; {
		n, err := c.settled()
		if err != nil || n != before || time.Since(begin) > settleMost {
			return n, err
		}
	}
}

// rxPackets finds an interface in /proc/net/dev: "eth0: bytes packets …".
func rxPackets(dev []byte, name string) (uint64, error) {
	for line := range bytes.Lines(dev) {
		before, after, ok := bytes.Cut(line, []byte(":"))
		if fields := bytes.Fields(after); ok && len(fields) > 1 && string(bytes.TrimSpace(before)) == name {
			return strconv.ParseUint(string(fields[1]), 10, 64)
		}
	}
	return 0, fmt.Errorf("no counters of %q in /proc/net/dev", name)
}

// enterNamespace runs f inside a namespace.
func enterNamespace(name string, f func() error) error {
	return InNamespace(name, func(ns *netns.Namespace) error { return ns.Do(f) })
}
