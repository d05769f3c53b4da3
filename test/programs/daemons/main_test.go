package daemons

import (
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m, lab.Build) }

// pair is two containers on one segment at strict ports.
func pair(t *testing.T) (h *lab.Host, a, b *lab.Container) {
	t.Helper()
	h = lab.NewHost(t)
	return h, h.Attach("a"), h.Attach("b")
}

// allow gives both ports options of set-port, as they run.
func allow(h *lab.Host, options string) {
	h.Helper()
	for _, name := range []string{"a", "b"} {
		h.MustVsctl(append([]string{"set-port", name}, strings.Fields(options)...)...)
	}
}

// refused waits until a port's frames are refused for a reason, and wants stats to name an option.
func refused(h *lab.Host, name, reason, option string) {
	h.Helper()
	h.Eventually(name+" is refused as "+reason+", with "+option, func() bool {
		p := h.Port(name)
		return p.Counters.Drops[reason] > 0 && strings.Contains(option, p.Hints[reason]) &&
			p.Hints[reason] != ""
	})
}

// eventuallyPrints waits until a command in a container prints all parts.
func eventuallyPrints(c *lab.Container, parts []string, argv ...string) {
	c.Helper()
	var out string
	defer func() {
		if c.Failed() {
			c.Logf("%s printed:\n%s", strings.Join(argv, " "), out)
		}
	}()
	lab.Eventually(c, strings.Join(argv, " ")+" prints "+strings.Join(parts, ", "), func() bool {
		out, _ = c.Try(argv...)
		for _, part := range parts {
			if !strings.Contains(out, part) {
				return false
			}
		}
		return true
	})
}

func dhcp(s *api.PortSpec) { s.IP.DHCP = true }
