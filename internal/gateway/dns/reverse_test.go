package dns

import (
	"net/netip"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"vswitch/test/lab/seed"
)

// reverse6Name is the name of an address as another implementation writes it.
func reverse6Name(addr string) string {
	name, err := mdns.ReverseAddr(addr)
	if err != nil {
		panic(err)
	}
	return name
}

// RFC 3596 §2.5 has the example.
func TestReverseAddr(t *testing.T) {
	t.Parallel()
	const example = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa."
	for name, want := range map[string]string{
		example:                            "4321:0:1:2:3:4:567:89ab",
		strings.ToUpper(example):           "4321:0:1:2:3:4:567:89ab",
		"2.0.17.172.in-addr.arpa.":         "172.17.0.2",
		"2.0.17.172.in-addr.arpa":          "172.17.0.2",
		reverse6Name("::1"):                "::1",
		reverse6Name("fd00::")[2:]:         "", // 31 labels: a network
		"0." + reverse6Name("fd00::"):      "", // 33
		"0" + reverse6Name("fd00::"):       "",
		"x" + reverse6Name("fd00::")[1:]:   "",
		"0-" + reverse6Name("fd00::")[2:]:  "",
		"." + reverse6Name("fd00::")[1:]:   "",
		`\0.` + reverse6Name("fd00::")[2:]: "",
		"ip6.arpa.":                        "",
		"in-addr.arpa.":                    "",
		"17.172.in-addr.arpa.":             "",
		"2.00.17.172.in-addr.arpa.":        "",
		"2.0.17.172.ip6.arpa.":             "",
		"172.17.0.2.":                      "",
		"f.e.in-addr.arpa.":                "",
	} {
		got, ok := reverseAddr(name)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s: got %s, %v, want %q", name, got, ok, want)
		}
	}
}

func TestReverseAddrReadsEveryAddress(t *testing.T) {
	t.Parallel()
	rnd := seed.New(t)
	for range 2000 {
		var b [16]byte
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		for _, addr := range []netip.Addr{netip.AddrFrom16(b), netip.AddrFrom4([4]byte(b[:4]))} {
			if got, ok := reverseAddr(reverse6Name(addr.String())); !ok || got != addr {
				t.Fatalf("%s: got %s, %v", addr, got, ok)
			}
		}
	}
}

// FuzzReverseAddr takes names that anybody may send. One that stands for an address
// is the very name of that address.
func FuzzReverseAddr(f *testing.F) {
	f.Add("2.0.17.172.in-addr.arpa.")
	f.Add(reverse6Name("fd00:17::2"))
	f.Fuzz(func(t *testing.T, name string) {
		addr, ok := reverseAddr(name)
		if !ok || addr.Is4In6() { // which reverse6Name takes for IPv4
			return
		}
		if want := reverse6Name(addr.String()); mdns.CanonicalName(name) != want {
			t.Errorf("%q is read as %s, whose name is %q", name, addr, want)
		}
	})
}
