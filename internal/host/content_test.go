package host

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"vswitch/test/lab/seed"

	"github.com/google/nftables"
)

// show writes e as nft would, but for its bytes, which are in hexadecimal.
func (e element) show() string {
	kind := kinds[e.set]
	text := kind.name + " " + hex.EncodeToString(e.key[:kind.key.Bytes])
	if kind.ranges {
		text += "-" + hex.EncodeToString(e.end[:])
	}
	if kind.value.Bytes > 0 {
		text += ":" + hex.EncodeToString(e.value[:])
	}
	return text
}

func shown(elements []element) []string {
	list := []string{}
	for _, e := range elements {
		list = append(list, e.show())
	}
	return list
}

func segmentOf(link, subnet string, masquerade bool) Segment {
	return Segment{
		Link: link, Subnet: netip.MustParsePrefix(subnet), Masquerade: masquerade,
	}
}

func TestContent(t *testing.T) {
	t.Parallel()
	to := netip.MustParseAddr("172.17.0.2")
	port := func(f Forward) Config {
		f.To, f.Link = to, "vs-a"
		return Config{Forwards: []Forward{f}}
	}
	const anyAddress, oneAddress = "published ", "published-on "
	for name, c := range map[string]struct {
		config Config
		want   []string
	}{
		"nothing": {Config{}, []string{}},
		"a segment": {
			Config{Segments: []Segment{segmentOf("vs-a", "172.17.0.0/16", true)}},
			[]string{"links 76732d61" + zeros(12), "subnets ac110000-ac120000"},
		},
		"without masquerade": {
			Config{Segments: []Segment{segmentOf("vs-a", "172.17.0.0/16", false)}},
			[]string{"links 76732d61" + zeros(12)},
		},
		"neighbours are one range": {
			Config{Segments: []Segment{
				segmentOf("vs-b", "172.18.0.0/16", true), segmentOf("vs-a", "172.17.0.0/16", true),
			}},
			[]string{
				"links 76732d61" + zeros(12), "links 76732d62" + zeros(12), "subnets ac110000-ac130000",
			},
		},
		"the last subnet": {
			Config{Segments: []Segment{segmentOf("vs-a", "255.255.255.0/24", true)}},
			[]string{"links 76732d61" + zeros(12), "subnets ffffff00-00000000"},
		},
		"a port of all addresses": {
			port(Forward{Protocol: TCP, HostPort: 8080, ToPort: 80}),
			[]string{anyAddress + "06000000" + "1f900000" + ":ac110002" + "00500000"},
		},
		"0.0.0.0 is all addresses": {
			port(Forward{
				Protocol: UDP, HostIP: netip.IPv4Unspecified(), HostPort: 8080, ToPort: 80, Count: 1,
			}),
			[]string{anyAddress + "11000000" + "1f900000" + ":ac110002" + "00500000"},
		},
		"ports of one address": {
			port(Forward{
				Protocol: TCP, HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 255, ToPort: 65534,
				Count: 2,
			}),
			[]string{
				oneAddress + "7f000001" + "06000000" + "00ff0000" + ":ac110002" + "fffe0000",
				oneAddress + "7f000001" + "06000000" + "01000000" + ":ac110002" + "ffff0000",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			remove, add := difference(nil, contentOf(c.config))
			if got := shown(add); !slices.Equal(got, c.want) || len(remove) != 0 {
				t.Errorf("content %q, and %q to remove; want %q", got, shown(remove), c.want)
			}
		})
	}
}

func zeros(n int) string { return fmt.Sprintf("%0*d", 2*n, 0) }

// TestDifference changes a config at random and holds that a table which makes the differences
// has what each config wants, and that none is larger than the change.
func TestDifference(t *testing.T) {
	t.Parallel()
	random := seed.New(t)
	var c Config
	kernel := make(content)
	before := contentOf(c)
	for range 2000 {
		limit := randomChange(random, &c)
		want := contentOf(c)
		remove, add := difference(before, want)
		if n := len(remove) + len(add); n > limit {
			t.Fatalf("%d elements differ, want at most %d: -%q +%q", n, limit, shown(remove), shown(add))
		}
		for _, e := range remove {
			if _, there := kernel[e]; !there {
				t.Fatalf("%s is removed, which is not there", e.show())
			}
			delete(kernel, e)
		}
		for _, e := range add {
			if _, there := kernel[e]; there {
				t.Fatalf("%s is added, which is there", e.show())
			}
			kernel[e] = struct{}{}
		}
		if !kernel.equal(want) {
			t.Fatalf("after -%q +%q the content is not that of %+v", shown(remove), shown(add), c)
		}
		before = want
	}
}

// randomChange adds or removes a segment or a forward, and returns how many elements that may
// change.
func randomChange(random *rand.Rand, c *Config) (limit int) {
	const segment = 5 // a link, and with its range up to two others become one
	n := random.IntN(16)
	link := fmt.Sprintf("vs-%d", n)
	switch random.IntN(4) {
	case 0:
		if !slices.ContainsFunc(c.Segments, func(s Segment) bool { return s.Link == link }) {
			c.Segments = append(c.Segments,
				segmentOf(link, fmt.Sprintf("10.%d.0.0/16", n), random.IntN(4) > 0))
		}
		return segment
	case 1:
		c.Segments = slices.DeleteFunc(c.Segments, func(s Segment) bool { return s.Link == link })
		return segment
	case 2:
		f := Forward{
			Protocol: []Protocol{TCP, UDP}[random.IntN(2)], Count: random.IntN(4), ToPort: 80, Link: link,
			HostPort: uint16(1 + random.IntN(1000)), To: netip.AddrFrom4([4]byte{10, byte(n), 0, 2}),
		}
		if random.IntN(2) == 0 {
			f.HostIP = netip.AddrFrom4([4]byte{127, 0, 0, byte(random.IntN(3))})
		}
		if !slices.ContainsFunc(c.Forwards, f.Overlaps) {
			c.Forwards = append(c.Forwards, f)
		}
		return f.count()
	default:
		if len(c.Forwards) == 0 {
			return 0
		}
		i := random.IntN(len(c.Forwards))
		gone := c.Forwards[i]
		c.Forwards = slices.Delete(c.Forwards, i, i+1)
		return gone.count()
	}
}

// TestFound holds that what the kernel shows of a content, in whatever order, is that content.
func TestFound(t *testing.T) {
	t.Parallel()
	want := contentOf(Config{
		Segments: []Segment{
			segmentOf("vs-a", "10.0.0.0/16", true), segmentOf("vs-b", "10.1.0.0/16", true),
			segmentOf("vs-c", "10.3.0.0/16", true), segmentOf("vs-d", "255.0.0.0/8", true),
		},
		Forwards: []Forward{{
			Protocol: TCP, HostPort: 1, Count: 100, To: netip.MustParseAddr("10.0.0.2"), ToPort: 1,
		}},
	})
	shown := make(map[setID][]nftables.SetElement)
	for e := range want {
		shown[e.set] = append(shown[e.set], e.encode()...)
	}
	shown[setSubnets] = append(shown[setSubnets],
		nftables.SetElement{Key: make([]byte, 4), IntervalEnd: true}) // as nft makes it
	found, random := make(content), seed.New(t)
	for set, elements := range shown {
		random.Shuffle(len(elements), func(i, j int) {
			elements[i], elements[j] = elements[j], elements[i]
		})
		found.addFound(set, elements)
	}
	if !found.equal(want) {
		t.Errorf("found %v, want %v", found, want)
	}
}
