package dns

import (
	"io"
	"net/netip"
	"os"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

// Bounds of the host's list of resolvers.
const (
	maxServers    = 3       // as many as the C library asks (MAXNS, resolv.conf(5))
	maxResolvConf = 1 << 16 // bytes that are read of the file
	port          = 53
)

// HostServers are the resolvers that a file such as /etc/resolv.conf names. It is
// read again after it has changed.
type HostServers struct {
	path string

	mu      sync.Mutex // guards all below
	looked  time.Time
	file    os.FileInfo // what was read; nil: nothing yet
	servers []netip.AddrPort
}

// NewHostServers reads path when it is first asked.
func NewHostServers(path string) *HostServers { return &HostServers{path: path} }

// lookEvery bounds how often the file is looked at.
const lookEvery = time.Second

// List returns the servers in the order of the file: the host itself when it
// names none, as the C library does.
func (h *HostServers) List() []netip.AddrPort {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); h.looked.IsZero() || now.Sub(h.looked) >= lookEvery {
		h.looked = now
		h.look()
	}
	return h.servers
}

// look reads the file if it is another than before. What was read stays in force
// while the file is missing: somebody may be replacing it.
func (h *HostServers) look() {
	if h.servers == nil {
		h.servers = parseServers(nil)
	}
	info, err := os.Stat(h.path)
	if err != nil || h.file != nil && os.SameFile(info, h.file) && info.Size() == h.file.Size() && info.ModTime().Equal(h.file.ModTime()) {
		return
	}
	file, err := os.Open(h.path)
	if err != nil {
		return
	}
	defer file.Close()
	h.servers = parseServers(io.LimitReader(file, maxResolvConf))
	h.file = info
}

// parseServers reads a resolv.conf(5); what it does not understand it leaves out.
func parseServers(r io.Reader) (servers []netip.AddrPort) {
	if r != nil {
		config, err := mdns.ClientConfigFromReader(r)
		if err != nil {
			config = new(mdns.ClientConfig)
		}
		for _, s := range config.Servers {
			if addr, err := netip.ParseAddr(s); err == nil && len(servers) < maxServers {
				servers = append(servers, netip.AddrPortFrom(addr, port))
			}
		}
	}
	if len(servers) == 0 {
		servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)}
	}
	return servers
}
