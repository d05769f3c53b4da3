package conformance

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"vswitch/internal/frame"
	"vswitch/test/lab"
)

// saboteur is a bridge that breaks one rule.
type saboteur struct {
	*Bridge

	afterSegment string // a command; SEGMENT stands for the bridge's device
	afterPort    string // commands; PORT stands for the port's device and NETNS for its namespace
	oneSegment   bool   // all segments are one
	fading       bool   // static entries do not stick
	never        string // a method that does nothing
}

func (s *saboteur) AddSegment(name string) error {
	if s.oneSegment && len(s.segments) > 0 {
		for _, only := range s.segments {
			s.segments[name] = only
			return nil
		}
	}
	if err := s.Bridge.AddSegment(name); err != nil || s.afterSegment == "" {
		return err
	}
	return s.runAll(strings.ReplaceAll(s.afterSegment, "SEGMENT", s.segments[name].device))
}

func (s *saboteur) AddPort(spec PortSpec) (Attachment, error) {
	if s.never == "isolate" {
		spec.Isolated = false
	}
	if s.never == "lock" {
		spec.Security = SecurityOff
	}
	a, err := s.Bridge.AddPort(spec)
	if err != nil || s.afterPort == "" {
		return a, err
	}
	commands := strings.NewReplacer("PORT", s.ports[spec.Name].device, "NETNS", spec.NetNS).Replace(s.afterPort)
	return a, s.runAll(strings.Split(commands, "; ")...)
}

func (s *saboteur) AddStatic(segment string, mac frame.MAC, port string) error {
	if !s.fading {
		return s.Bridge.AddStatic(segment, mac, port)
	}
	return s.runAll(fmt.Sprintf("bridge fdb replace %s dev %s master static", mac, s.ports[port].device))
}

func (s *saboteur) Flush(segment string) error {
	if s.never == "flush" {
		return nil
	}
	return s.Bridge.Flush(segment)
}

func (s *saboteur) SetPort(name string, up bool) error {
	if s.never == "down" {
		return nil
	}
	return s.Bridge.SetPort(name, up)
}

// A suite that passes everything is worth nothing.
func TestABadSwitchFails(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	lab.RequireCommand(t, "ip", "bridge", "nft", "nsenter")
	const noBPDUs = "nft add table bridge x; nft add chain bridge x y { type filter hook prerouting priority 0;}; nft add rule bridge x y ether daddr 01:80:c2:00:00:00 drop"
	for _, test := range []struct {
		name  string
		bad   saboteur
		fails string // name of the check
	}{
		{"a hub", saboteur{afterSegment: "ip link set SEGMENT type bridge ageing_time 0"}, "unknown unicast floods, known goes one way"},
		{"learning off", saboteur{afterPort: "bridge link set dev PORT learning off"}, "a station that moves is found again"},
		{"static entries that move", saboteur{fading: true}, "static entries win over learning"},
		{"no flush", saboteur{never: "flush"}, "flush forgets what was learned only"},
		{"one table for all", saboteur{oneSegment: true}, "segments learn apart"},
		{"no multicast", saboteur{afterPort: "bridge link set dev PORT mcast_flood off"}, "broadcast and multicast go to all others"},
		{"hairpin", saboteur{afterPort: "bridge link set dev PORT hairpin on"}, "nothing returns to the port that it came from"},
		{"a narrow link", saboteur{afterPort: "ip link set PORT mtu 1400"}, "frames of all sizes arrive unchanged"},
		{"a wide link", saboteur{afterPort: "ip link set PORT mtu 9100; ip -netns NETNS link set eth0 mtu 9100"}, "frames over the MTU are dropped"},
		{"VLANs", saboteur{afterSegment: "ip link set SEGMENT type bridge vlan_filtering 1"}, "VLAN tags arrive unchanged"},
		{"LLDP forwarded", saboteur{afterSegment: "ip link set SEGMENT type bridge group_fwd_mask 16384"}, "reserved groups 01:80:c2:00:00:01 to -0f are not forwarded"},
		{"no port down", saboteur{never: "down"}, "a port that is down carries nothing, up again it does"},
		{"no isolation", saboteur{never: "isolate"}, "isolated ports do not hear each other"},
		{"no locks", saboteur{never: "lock"}, "a locked port uses its own MAC only"},
		{"spanning tree filtered", saboteur{afterPort: noBPDUs}, "spanning tree passes, the group 01:80:c2:00:00:00"},
		{"ports known by their frames", saboteur{}, "a host that only receives stays known"},
		{"a lost port is forgotten", saboteur{}, "what is for a lost port goes to nobody"},
		{"anybody is the gateway", saboteur{}, "nobody claims the gateway's address, tagged or not"},
		{"nobody moves", saboteur{afterPort: "bridge link set dev PORT learning off"}, "a host that changes its MAC is found again"},
		{"no walls", saboteur{oneSegment: true}, "nothing crosses segments"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.bad.Bridge = NewBridge(t)
			errors := complaints(t, &test.bad, test.fails)
			if len(errors) == 0 {
				t.Errorf("check %q passes", test.fails)
			}
			t.Log(errors)
		})
	}
}

// complaints runs one check and returns what it has against a switch.
func complaints(t *testing.T, sw Adapter, name string) []string {
	t.Helper()
	for _, c := range checks() {
		if c.name != name {
			continue
		}
		judge := &judge{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.run(&topology{TB: judge, sw: sw})
		}()
		select {
		case <-done:
		case <-time.After(3 * lab.Patience):
			t.Fatalf("check %q does not end", name)
		}
		return judge.errors
	}
	t.Fatalf("no check is called %q", name)
	return nil
}

// judge stands for a test that may fail.
type judge struct {
	testing.TB

	errors []string
}

func (j *judge) Error(args ...any) { j.errors = append(j.errors, fmt.Sprint(args...)) }

func (j *judge) Errorf(format string, args ...any) { j.Error(fmt.Sprintf(format, args...)) }

func (j *judge) Fatal(args ...any) {
	j.Error(args...)
	runtime.Goexit()
}

func (j *judge) Fatalf(format string, args ...any) { j.Fatal(fmt.Sprintf(format, args...)) }
