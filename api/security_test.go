package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/api/apitest"
	"vswitch/internal/control/controltest"
)

func TestParseAllowed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.1.0.5": "10.1.0.5/32", "10.1.0.5/32": "10.1.0.5/32", "10.1.0.0/24": "10.1.0.0/24", "0.0.0.0/0": "0.0.0.0/0",
		"fd00::1": "fd00::1/128", "fd00:1::/64": "fd00:1::/64",
	} {
		if got, err := api.ParseAllowed(text); err != nil || got.String() != want {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "want an address or a network", "10.1": "want an address or a network", "10.1.0.0/33": "want an address or a network",
		"10.1.0.5/24": "want 10.1.0.0/24 or 10.1.0.5", "fe80::1%eth0": "want an address or a network",
		"::ffff:10.0.0.1": "want an address or a network", "0.0.0.0": "unicast", "224.0.0.1": "unicast", "ff02::1": "unicast",
	} {
		if got, err := api.ParseAllowed(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want an error with %q", text, got, err, want)
		}
	}
}

// What a client leaves out, the backend is told in full.
func TestPortsAreStrictByDefault(t *testing.T) {
	t.Parallel()
	client := api.NewSocketClient(apitest.Serve(t, controltest.New(t, "a")), 0)
	defer client.Close()
	p, err := client.AddPort(context.Background(), api.PortSpec{Name: "a", NetNS: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Security != api.SecurityStrict || p.MACLimit != api.DefaultMACLimit || p.FloodLimit != api.DefaultFloodLimit || p.RateIn != "" {
		t.Errorf("got %+v, want strict security and the default limits", p)
	}
	if p.AllowReserved || p.BPDUGuard {
		t.Errorf("got %+v, want reserved addresses refused and BPDUs forwarded", p)
	}
	level, none, rate, list := api.SecurityOff, api.NoLimit, api.Rate{BitsPerSecond: 2e6}, []netip.Prefix{
		netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8"),
	}
	p, err = client.UpdatePort(context.Background(), "a", api.PortUpdate{
		Security: &level, BPDUGuard: new(true), MACLimit: &none, RateIn: &rate, AllowAddresses: &list,
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.Security != level || p.MACLimit != none || p.RateIn != "2mbit" || !p.BPDUGuard || p.AllowReserved || !slices.Equal(p.AllowAddresses, list) {
		t.Errorf("got %+v, want what was asked for in canonical form", p)
	}
}

func TestPoliciesThatMakeNoSense(t *testing.T) {
	t.Parallel()
	b := controltest.New(t, "a")
	if rec := do(t, b, "POST", "/v1/ports", `{"name":"a","netns":"a"}`); rec.Code != http.StatusCreated {
		t.Fatal(rec.Body)
	}
	many, err := json.Marshal(make([]string, 65))
	if err != nil {
		t.Fatal(err)
	}
	for want, policy := range map[string]string{
		`security "loose": want strict, mac or off`:  `"security":"loose"`,
		`allowed address "x": want`:                  `"allow_addresses":["x"]`,
		`65 allowed addresses: want at most 64`:      `"allow_addresses":` + string(many),
		`allowed mac "x": want an address`:           `"allow_macs":["x"]`,
		`allowed mac 01:00:5e:00:00:12 is a group`:   `"allow_macs":["01:00:5e:00:00:12"]`,
		`allowed mac 00:00:00:00:00:00 belongs to`:   `"allow_macs":["00:00:00:00:00:00"]`,
		`covers too many: want a mask of three`:      `"allow_macs":["02:00:00:00:00:00/ff:ff:00:00:00:00"]`,
		`outside its mask: want 02:00:00:00:00:00/`:  `"allow_macs":["02:00:00:00:00:01/ff:ff:ff:00:00:00"]`,
		`65 allowed macs: want at most 64`:           `"allow_macs":` + string(many),
		`allowed protocol "x": want the name`:        `"allow_protocols":["x"]`,
		`names are aoe, avtp,`:                       `"allow_protocols":["ip"]`,
		`allowed protocol "0x0800": is IP or ARP`:    `"allow_protocols":["0x0800"]`,
		`65 allowed protocols: want at most 64`:      `"allow_protocols":` + string(many),
		`mac limit -2: want 1 to 16777216 addresses`: `"mac_limit":-2`,
		`flood limit 1000000001: want 1 to`:          `"flood_limit":1000000001`,
		`rate in: rate "fast": want`:                 `"rate_in":"fast"`,
		`rate out: rate "1bit" is out of range`:      `"rate_out":"1bit"`,
	} {
		for route, body := range map[string]string{
			"POST /v1/ports": `{"name":"b","netns":"b",` + policy + `}`, "PATCH /v1/ports/a": `{` + policy + `}`,
		} {
			method, path, _ := strings.Cut(route, " ")
			if p := readProblem(t, do(t, b, method, path, body)); p.Status != 400 || !strings.Contains(p.Detail, want) {
				t.Errorf("%s %s: got %+v, want an invalid one with %q", route, body, p, want)
			}
		}
	}
}

// What no text stands for is refused too: callers in the same process hand over values.
func TestValuesThatMakeNoSense(t *testing.T) {
	t.Parallel()
	b := api.Checked(nil) // what is called panics
	for want, spec := range map[string]api.PortSpec{
		"group address":            {MAC: api.MAC{1}},
		"rate in":                  {RateIn: api.Rate{BurstBytes: 1}},
		"allowed address":          {AllowAddresses: make([]netip.Prefix, 1)},
		"65 allowed addresses":     {AllowAddresses: make([]netip.Prefix, 65)},
		"allowed mac":              {AllowMACs: make([]api.MACMask, 1)},
		"65 allowed macs":          {AllowMACs: make([]api.MACMask, 65)},
		"allowed protocol":         {AllowProtocols: make([]api.LinkProtocol, 1)},
		"want it written as":       {AllowProtocols: []api.LinkProtocol{"PTP"}},
		"65 allowed protocols":     {AllowProtocols: make([]api.LinkProtocol, 65)},
		"only IPv4":                {IP: api.PortIP{Addr: netip.IPv6LinkLocalAllNodes()}},
		"not a host's":             {IP: api.PortIP{Addr: netip.MustParseAddr("0.0.0.0")}},
		"security \"loose\": want": {Security: "loose"},
	} {
		spec.Name, spec.NetNS = "a", "a"
		if _, err := b.AddPort(t.Context(), spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want an error with %q", spec, err, want)
		}
	}
	for _, ports := range []api.PortRange{{First: 5, Last: 1}, {Last: 1}} {
		if _, err := b.Publish(t.Context(), "a", api.PublishSpec{Ports: ports}); api.KindOf(err) != api.Invalid {
			t.Errorf("ports %+v: got %v, want them refused", ports, err)
		}
	}
}
