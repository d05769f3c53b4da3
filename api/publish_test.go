package api_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/api/apitest"
	"vswitch/internal/control/controltest"
)

func TestParsePublish(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]api.PublishSpec{
		"8080:80":                          {HostPorts: portsOf("8080"), Ports: portsOf("80"), Protocol: "tcp"},
		"8080:80/udp":                      {HostPorts: portsOf("8080"), Ports: portsOf("80"), Protocol: "udp"},
		"127.0.0.1:8080:80/tcp":            {HostIP: netip.MustParseAddr("127.0.0.1"), HostPorts: portsOf("8080"), Ports: portsOf("80"), Protocol: "tcp"},
		"0.0.0.0:8080:80":                  {HostPorts: portsOf("8080"), Ports: portsOf("80"), Protocol: "tcp"},
		"8000-8010:9000-9010":              {HostPorts: portsOf("8000-8010"), Ports: portsOf("9000-9010"), Protocol: "tcp"},
		"10.0.0.1:8000-8010:8000-8010/udp": {HostIP: netip.MustParseAddr("10.0.0.1"), HostPorts: portsOf("8000-8010"), Ports: portsOf("8000-8010"), Protocol: "udp"},
		"80":                               {Ports: portsOf("80"), Protocol: "tcp"},
		"127.0.0.1::80":                    {HostIP: netip.MustParseAddr("127.0.0.1"), Ports: portsOf("80"), Protocol: "tcp"},
		"64512-65535:64512-65535":          {HostPorts: portsOf("64512-65535"), Ports: portsOf("64512-65535"), Protocol: "tcp"},
		"00080:0443-443":                   {HostPorts: portsOf("80"), Ports: portsOf("443"), Protocol: "tcp"},
	} {
		if got, err := api.ParsePublish(text); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                      "want [HOSTIP:]HOSTPORT:PORT",
		":":                     "want [HOSTIP:]HOSTPORT:PORT",
		":80":                   "want [HOSTIP:]HOSTPORT:PORT",
		"80:":                   "want [HOSTIP:]HOSTPORT:PORT",
		"::80":                  "want [HOSTIP:]HOSTPORT:PORT",
		"80/":                   "want [HOSTIP:]HOSTPORT:PORT",
		"1:2:3:4":               "want [HOSTIP:]HOSTPORT:PORT",
		"[::1]:80:80":           "want [HOSTIP:]HOSTPORT:PORT",
		"80:80/sctp":            `protocol "sctp": want tcp or udp`,
		"80:80/TCP":             `protocol "TCP"`,
		"80:80/tcp/udp":         `protocol "tcp/udp"`,
		"http:80":               `ports "http"`,
		"0:80":                  `ports "0"`,
		"80:65536":              `ports "65536"`,
		"8010-8000:8000-8010":   "the lower one first",
		"8000-8010:80":          "want as many",
		"80:8000-8010":          "want as many",
		"8000-8010":             "give 11 of them as well",
		"1-65535:1-65535":       "at most 1024",
		"localhost:80:80":       `host address "localhost"`,
		"300.0.0.1:80:80":       `host address "300.0.0.1"`,
		"224.0.0.1:80:80":       "want a unicast address",
		"1.2.3.4\x1b[31m:80:80": `host address "1.2.3.4\x1b[31m"`,
	} {
		if got, err := api.ParsePublish(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v; want an error with %q", text, got, err, want)
		}
	}
}

func TestParsePublished(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]api.PublishedKey{
		"8080":                  {HostPorts: portsOf("8080"), Protocol: "tcp"},
		"8080:80":               {HostPorts: portsOf("8080"), Protocol: "tcp"},
		"8080/udp":              {HostPorts: portsOf("8080"), Protocol: "udp"},
		"127.0.0.1:8080":        {HostIP: netip.MustParseAddr("127.0.0.1"), HostPorts: portsOf("8080"), Protocol: "tcp"},
		"127.0.0.1:8080:80/udp": {HostIP: netip.MustParseAddr("127.0.0.1"), HostPorts: portsOf("8080"), Protocol: "udp"},
		"0.0.0.0:1-2:1-2":       {HostPorts: portsOf("1-2"), Protocol: "tcp"},
	} {
		if got, err := api.ParsePublished(text); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "web", "0", ":80", "127.0.0.1:", "127.0.0.1", "::1", "80/icmp", "1:2:3:4"} {
		if got, err := api.ParsePublished(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
}

// FuzzParsePublish holds that what is read, written down and read again is the same.
func FuzzParsePublish(f *testing.F) {
	for _, text := range []string{"80", "8080:80", "127.0.0.1:8080:80/udp", "1.2.3.4::1", "1-9:1-9/tcp", "[::1]:80:80", "::", "/", "1/", "-", "0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := api.ParsePublish(text)
		key, keyErr := api.ParsePublished(text)
		for _, err := range []error{err, keyErr} {
			if err != nil && strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("%q: the error is not one readable line: %q", text, err)
			}
		}
		if err != nil {
			return
		}
		canonical := fmt.Sprintf("%s:%s/%s", spec.HostPorts, spec.Ports, spec.Protocol)
		if spec.HostIP.IsValid() {
			canonical = spec.HostIP.String() + ":" + canonical
		} else {
			canonical = strings.TrimPrefix(canonical, ":")
		}
		if again, err := api.ParsePublish(canonical); err != nil || again != spec {
			t.Errorf("%q is %+v, but %q is %+v, %v", text, spec, canonical, again, err)
		}
		if spec.HostPorts == (api.PortRange{}) {
			return
		}
		if want := (api.PublishedKey{HostIP: spec.HostIP, HostPorts: spec.HostPorts, Protocol: spec.Protocol}); keyErr != nil || key != want {
			t.Errorf("%q publishes %+v, and names %+v, %v", text, spec, key, keyErr)
		}
	})
}

func TestPublishOverTheSocket(t *testing.T) {
	t.Parallel()
	client := api.NewSocketClient(apitest.Serve(t, controltest.New(t, "c1")), 0)
	defer client.Close()
	ctx := context.Background()
	if _, err := client.AddPort(ctx, api.PortSpec{Name: "web", NetNS: "c1"}); err != nil {
		t.Fatal(err)
	}
	for _, spec := range []api.PublishSpec{{HostPorts: portsOf("8080"), Ports: portsOf("80")}, {HostIP: netip.MustParseAddr("127.0.0.1"), HostPorts: portsOf("53"), Ports: portsOf("53"), Protocol: "udp"}, {Ports: portsOf("81")}} {
		if _, err := client.Publish(ctx, "web", spec); err != nil {
			t.Errorf("publish %+v: %v", spec, err)
		}
	}
	list, err := client.Published(ctx, "bridge")
	if err != nil || len(list) != 3 {
		t.Fatalf("published are %v, %v; want three", list, err)
	}
	for _, p := range list {
		key, err := api.ParsePublished(p.String())
		if err != nil {
			t.Error(err)
		}
		if gone, err := client.Unpublish(ctx, "web", key); err != nil || gone != p {
			t.Errorf("unpublish %s: %v, %v", p, gone, err)
		}
	}
	for _, key := range []api.PublishedKey{{}, {HostPorts: portsOf("8080"), Protocol: "icmp"}, {HostPorts: portsOf("8080"), HostIP: netip.MustParseAddr("::1")}} {
		if _, err := client.Unpublish(ctx, "web", key); err == nil {
			t.Errorf("unpublish %+v succeeds", key)
		}
	}
}
