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
	settleMost = 20 * time.Second // until no more come
	arriveMost = time.Second      // until the first comes
)

// receiveCounters are the rx_packets counters of some interfaces, each once.
type receiveCounters struct {
	files  []counterFile // one for each namespace
	counts []uint64      // as read last, by the number that add returned
	buffer []byte
}

// counterFile is /proc/net/dev as seen from a namespace.
type counterFile struct {
	namespace string
	fd        int
	numbers   map[string]int // of the interfaces that are counted
}

// add has the counter of e read too, and returns its number. The file shows the namespace of
// whoever opened it (fs/proc/proc_net.c), so it can be read from anywhere.
func (c *receiveCounters) add(e Endpoint) (int, error) {
	for _, f := range c.files {
		if f.namespace == e.Namespace {
			return c.number(f, e.IfName), nil
		}
	}
	f := counterFile{namespace: e.Namespace, numbers: make(map[string]int)}
	err := enterNamespace(e.Namespace, func() (err error) {
		f.fd, err = unix.Open("/proc/thread-self/net/dev", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return 0, err
	}
	c.files = append(c.files, f)
	return c.number(f, e.IfName), nil
}

func (c *receiveCounters) number(f counterFile, name string) int {
	n, known := f.numbers[name]
	if !known {
		n = len(c.counts)
		f.numbers[name] = n
		c.counts = append(c.counts, 0)
	}
	return n
}

func (c *receiveCounters) close() {
	for _, f := range c.files {
		unix.Close(f.fd)
	}
}

// read reads all counters.
func (c *receiveCounters) read() error {
	for _, f := range c.files {
		dev, err := c.content(f.fd)
		if err != nil {
			return fmt.Errorf("read counters: %w", err)
		}
		if err := rxPackets(dev, f.numbers, c.counts); err != nil {
			return fmt.Errorf("namespace %s: %w", f.namespace, err)
		}
	}
	return nil
}

// content is that of a file, which the kernel gives out in parts of a page (fs/seq_file.c).
func (c *receiveCounters) content(fd int) ([]byte, error) {
	if c.buffer == nil {
		c.buffer = make([]byte, 64<<10)
	}
	for size := 0; ; {
		if size == len(c.buffer) {
			c.buffer = append(c.buffer, make([]byte, len(c.buffer))...)
		}
		n, err := unix.Pread(fd, c.buffer[size:], int64(size))
		if err != nil || n == 0 {
			return c.buffer[:size], err
		}
		size += n
	}
}

// sum is that of all counters.
func (c *receiveCounters) sum() (uint64, error) {
	err := c.read()
	var total uint64
	for _, n := range c.counts {
		total += n
	}
	return total, err
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
		if err != nil || n != before || time.Since(begin) > arriveMost {
			return n, err
		}
	}
}

// rxPackets finds interfaces in /proc/net/dev, "eth0: bytes packets …", and puts their counts
// where numbers say. It is an error if one is missing.
func rxPackets(dev []byte, numbers map[string]int, counts []uint64) error {
	found := 0
	for line := range bytes.Lines(dev) {
		before, after, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		number, wanted := numbers[string(bytes.TrimSpace(before))]
		if !wanted {
			continue
		}
		_, packets, _ := bytes.Cut(bytes.TrimLeft(after, " "), []byte(" "))
		packets, _, _ = bytes.Cut(bytes.TrimLeft(packets, " "), []byte(" "))
		n, err := strconv.ParseUint(string(packets), 10, 64)
		if err != nil {
			return fmt.Errorf("/proc/net/dev has the line %q: %w", line, err)
		}
		counts[number] = n
		found++
	}
	if found < len(numbers) {
		return fmt.Errorf("/proc/net/dev has counters of %d of %d interfaces", found, len(numbers))
	}
	return nil
}

// enterNamespace runs f inside a namespace.
func enterNamespace(name string, f func() error) error {
	return InNamespace(name, func(ns *netns.Namespace) error { return ns.Do(f) })
}
