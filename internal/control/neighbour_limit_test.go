package control

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"vswitch/api"
)

// TestRoomForNeighbours: people are told, once, when the kernel's table has no room for what the
// ports of segments with a host link need, two entries each, as far as the kernel says.
func TestRoomForNeighbours(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file  *string
		warns int
	}{
		"enough":           {new("6\n"), 0},
		"one too few":      {new("5\n"), 1},
		"none":             {new("0"), 1},
		"the kernel's own": {new("1024\n"), 0},
		"no setting":       {nil, 0},
		"nothing":          {new(""), 0},
		"not a number":     {new("many\n"), 0},
		"too long for one": {new("99999999999999999999999\n"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "net/ipv4/neigh/default")
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			if test.file != nil {
				file := filepath.Join(path, "gc_thresh3")
				if err := os.WriteFile(file, []byte(*test.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			inStack(t, func(s *stack) {
				s.adjust = func(c *core) { c.config.SysctlDir = dir }
				c := s.start()
				s.addSegment(c, "alone", "10.66.0.0/24", api.UplinkNone)
				for i := range 10 {
					s.addPort(c, fmt.Sprint("alone", i), func(p *api.PortSpec) { p.Segment = "alone" })
				}
				for i := range 3 {
					s.addPort(c, fmt.Sprint("port", i))
				}
				s.wantNeighbourWarning(test.warns)
				if test.warns == 0 {
					return
				}
				s.addPort(c, "onemore")
				s.wantNeighbourWarning(1)
				c = s.restart(c)
				c.Settle() // the next process tells of it again
				c.Settle()
				s.wantNeighbourWarning(2)
			})
		})
	}
}

func (s *stack) wantNeighbourWarning(times int) {
	s.Helper()
	s.wantLines(times, "no room for all ports", "raise net.ipv4.neigh.default.gc_thresh3")
}
