package api_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/api/apitest"
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
	client := api.NewClient(apitest.Serve(t, apitest.New()), 0)
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
	level, none, rate, list := api.SecurityOff, api.NoLimit, "2000KBIT", []string{"10.0.0.1", "10.0.0.0/8"}
	p, err = client.UpdatePort(context.Background(), "a", api.PortUpdate{
		Security: &level, BPDUGuard: new(true), MACLimit: &none, RateIn: &rate, AllowAddresses: &list,
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"10.0.0.1/32", "10.0.0.0/8"}; p.Security != level || p.MACLimit != none || p.RateIn != "2mbit" || !p.BPDUGuard || p.AllowReserved || !slices.Equal(p.AllowAddresses, want) {
		t.Errorf("got %+v, want what was asked for in canonical form", p)
	}
}

func TestPoliciesThatMakeNoSense(t *testing.T) {
	t.Parallel()
	client := api.NewClient(apitest.Serve(t, apitest.New()), 0)
	defer client.Close()
	for want, spec := range map[string]api.PortSpec{
		`security "loose": want strict, mac or off`:  {Security: "loose"},
		`allowed address "x": want`:                  {AllowAddresses: []string{"x"}},
		`65 allowed addresses: want at most 64`:      {AllowAddresses: make([]string, 65)},
		`mac limit -2: want 1 to 16777216 addresses`: {MACLimit: -2},
		`flood limit 1000000001: want 1 to`:          {FloodLimit: 1_000_000_001},
		`rate in: rate "fast": want`:                 {RateIn: "fast"},
		`rate out: rate "1bit" is out of range`:      {RateOut: "1bit"},
	} {
		spec.Name, spec.NetNS = "a", "a"
		if _, err := client.AddPort(context.Background(), spec); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want an invalid one with %q", spec, err, want)
		}
		update := api.PortUpdate{MACLimit: &spec.MACLimit, FloodLimit: &spec.FloodLimit, AllowAddresses: &spec.AllowAddresses}
		if spec.Security != "" {
			update.Security = &spec.Security
		}
		if spec.RateIn != "" {
			update.RateIn = &spec.RateIn
		}
		if spec.RateOut != "" {
			update.RateOut = &spec.RateOut
		}
		if _, err := client.UpdatePort(context.Background(), "a", update); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("update %+v: got %v, want an invalid one with %q", spec, err, want)
		}
	}
}
