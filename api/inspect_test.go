package api_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"vswitch/api"
)

// What a script written for docker sees, field for field and in docker's order.
func TestInspectHasDockersShape(t *testing.T) {
	t.Parallel()
	segment := api.Segment{
		ID: "5fb1", Name: "my_bridge", Driver: "vswitch", Scope: "local", Subnet: netip.MustParsePrefix("172.18.0.0/16"),
		Gateway: "172.18.0.1", MTU: 1500, HostLink: api.HostLink{Name: "vs-5fb1"}, Labels: map[string]string{"k": "v"}, Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
	}
	ports := []api.Port{
		{ID: "aa", Name: "c3", SegmentID: "5fb1", MAC: macOf("02:42:ac:12:00:02"), IPs: []netip.Prefix{netip.MustParsePrefix("172.18.0.2/16")}, Kind: api.PortTAP},
		{ID: "bb", Name: "gw", SegmentID: "5fb1", Kind: api.PortGateway},
		{ID: "cc", Name: "c1", SegmentID: "6082", Kind: api.PortTAP},
	}
	got, err := json.MarshalIndent(api.NewInspect(segment, ports), "", "    ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
    "Name": "my_bridge",
    "Id": "5fb1",
    "Created": "2026-01-02T03:04:05.000000006Z",
    "Scope": "local",
    "Driver": "vswitch",
    "EnableIPv6": false,
    "IPAM": {
        "Driver": "default",
        "Options": {},
        "Config": [
            {
                "Subnet": "172.18.0.0/16",
                "Gateway": "172.18.0.1"
            }
        ]
    },
    "Internal": false,
    "Attachable": false,
    "Ingress": false,
    "ConfigFrom": {
        "Network": ""
    },
    "ConfigOnly": false,
    "Containers": {
        "aa": {
            "Name": "c3",
            "EndpointID": "aa",
            "MacAddress": "02:42:ac:12:00:02",
            "IPv4Address": "172.18.0.2/16",
            "IPv6Address": ""
        }
    },
    "Options": {
        "com.docker.network.bridge.name": "vs-5fb1",
        "com.docker.network.driver.mtu": "1500"
    },
    "Labels": {
        "k": "v"
    }
}`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
}
