package control

import "time"

// What a container calls its interface waits for storeFirst to be stored, and for storeDelay since
// that was last done, whichever is longer. A restart knows it from the device's descriptor, or
// finds the interface by its MAC.
const (
	storeFirst = 100 * time.Millisecond
	storeDelay = 10 * time.Second
)

// storeSoon has p's record stored with what comes next, of it or of others: a container changes it
// as often as it likes, and the disk is slow. It is called under the lock.
func (c *core) storeSoon(p *port) {
	if c.unstored == nil {
		c.unstored = make(map[*port]struct{})
	}
	c.unstored[p] = struct{}{}
	if c.storing == nil && !c.closed {
		c.storing = time.AfterFunc(max(storeFirst, storeDelay-time.Since(c.stored)), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if !c.closed {
				c.storeDue()
			}
		})
	}
}

// storeDue stores what storeSoon was called for. It is called under the lock.
func (c *core) storeDue() {
	if c.storing != nil {
		c.storing.Stop()
		c.storing = nil
	}
	var ports []*port
	for p := range c.unstored {
		if c.allPorts[p.record.ID] == p {
			ports = append(ports, p)
		}
	}
	c.unstored = nil
	if len(ports) > 0 {
		c.stored = time.Now()
		c.storePorts("store the name of the interface of", ports)
	}
}
