package api_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"vswitch/api"
	"vswitch/internal/control/controltest"
	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
	"vswitch/test/lab"
)

func loadDocument(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// operations lists the document's operations as "METHOD /path".
func operations(doc *openapi3.T) map[string]bool {
	m := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			m[method+" "+path] = true
		}
	}
	return m
}

type operationTest struct {
	operation string // "METHOD /path" of the document
	path      string // with query
	body      string
	status    int
}

var operationTests = []operationTest{
	{"GET /v1/version", "/v1/version", "", 200},
	{"GET /v1/workers", "/v1/workers", "", 200},
	{"POST /v1/upgrade", "/v1/upgrade", `{"binary":"/usr/sbin/vswitchd"}`, 200},
	{"POST /v1/upgrade", "/v1/upgrade", `{"binary":"vswitchd"}`, 400},
	{"POST /v1/upgrade", "/v1/upgrade", `{"id":"0123456789abcdef"}`, 200},
	{"POST /v1/upgrade", "/v1/upgrade", `{"id":"0123456789ABCDEF"}`, 400},
	{"GET /v1/upgrades", "/v1/upgrades", "", 200},
	{"GET /v1/backup", "/v1/backup", "", 200},
	{"POST /v1/segments", "/v1/segments", `{"name":"my_bridge","subnet":"10.1.0.0/24","gateway":"10.1.0.9","ip_range":"10.1.0.128/25","internal":true,"mtu":9000,"labels":{"a":"b"},"aux_addresses":{"r":"10.1.0.7"}}`, 201},
	{"GET /v1/segments", "/v1/segments", "", 200},
	{"GET /v1/segments/{segment}", "/v1/segments/my_bridge", "", 200},
	{"PATCH /v1/segments/{segment}", "/v1/segments/my_bridge", `{"name":"lab","subnet":"10.1.0.0/16","labels":{"x":"y","a":null}}`, 200},
	{"PATCH /v1/segments/{segment}", "/v1/segments/lab", `{"name":"my_bridge"}`, 200},
	{"POST /v1/ports", "/v1/ports", `{"id":"` + strings.Repeat("0a", 32) + `","name":"handed","handover":true}`, 201},
	{"PATCH /v1/ports/{port}", "/v1/ports/handed", `{"netns":"/run/docker/netns/1"}`, 200},
	{"POST /v1/ports", "/v1/ports", `{"name":"c1","netns":"c1","labels":{"k":"v"}}`, 201},
	{"POST /v1/ports", "/v1/ports", `{"name":"c2","pid":1,"segment":"my_bridge","ifname":"net0","ip":"10.1.2.7","mac":"02-00-00-00-00-07","no_default_route":true}`, 201},
	{"GET /v1/ports", "/v1/ports?segment=my_bridge", "", 200},
	{"GET /v1/ports/{port}", "/v1/ports/c1", "", 200},
	{"PATCH /v1/ports/{port}", "/v1/ports/c1", `{"name":"one","up":false,"labels":{"x":"y","k":null}}`, 200},
	{"GET /v1/segments/{segment}/inspect", "/v1/segments/bridge/inspect", "", 200},
	{"POST /v1/segments/{segment}/fdb", "/v1/segments/bridge/fdb", `{"mac":"02:00:00:00:00:aa","port":"one"}`, 201},
	{"GET /v1/fdb", "/v1/fdb?segment=bridge", "", 200},
	{"POST /v1/segments/{segment}/fdb/flush", "/v1/segments/bridge/fdb/flush", `{"port":"one"}`, 200},
	{"DELETE /v1/segments/{segment}/fdb/{mac}", "/v1/segments/bridge/fdb/02:00:00:00:00:aa", "", 200},
	{"PATCH /v1/ports/{port}", "/v1/ports/one", `{"security":"mac","allow_addresses":["10.9.0.0/16","fd00::1"],"allow_macs":["00-00-5E-00-01-00/ff:ff:ff:ff:ff:00"],"allow_protocols":["PTP","0x88b5"],"allow_reserved":true,"bpdu_guard":true,"isolated":true,"mac_limit":-1,"flood_limit":5,"rate_in":"none","rate_out":"100mbit:64kb"}`, 200},
	{"PATCH /v1/ports/{port}", "/v1/ports/one", `{"mac":"02-00-00-00-00-31"}`, 200},
	{"PATCH /v1/ports/{port}", "/v1/ports/one", `{"mac":"03-00-00-00-00-31"}`, 400},
	{"POST /v1/segments/{segment}/rules", "/v1/segments/bridge/rules", `{"action":"deny","from":{"port":"one"},"to":{"label":"tier=front"},"protocol":"tcp","ports":"80-90","position":1}`, 201},
	{"POST /v1/segments/{segment}/rules", "/v1/segments/bridge/rules", `{"action":"allow"}`, 201},
	{"POST /v1/segments/{segment}/rules", "/v1/segments/bridge/rules", `{"action":"deny","from":{"port":"none"}}`, 404},
	{"GET /v1/rules", "/v1/rules?segment=bridge", "", 200},
	{"POST /v1/ports/{port}/published", "/v1/ports/one/published", `{"host_ip":"127.0.0.1","host_ports":"8000-8010","ports":"80-90","protocol":"udp"}`, 201},
	{"POST /v1/ports/{port}/published", "/v1/ports/one/published", `{"ports":"80"}`, 201},
	{"POST /v1/ports/{port}/published", "/v1/ports/one/published", `{"host_ports":"8000-8010","ports":"80"}`, 400},
	{"GET /v1/published", "/v1/published?segment=bridge", "", 200},
	{"DELETE /v1/ports/{port}/published", "/v1/ports/one/published?host_ip=127.0.0.1&host_ports=8000-8010&protocol=udp", "", 200},
	{"DELETE /v1/ports/{port}/published", "/v1/ports/one/published?host_ports=1", "", 404},
	{"DELETE /v1/segments/{segment}/rules/{rule}", "/v1/segments/bridge/rules/none", "", 404},
	{"DELETE /v1/segments/{segment}/rules/{rule}", "/v1/segments/bridge/rules/2c624232cdd2", "", 200},
	{"GET /v1/arp", "/v1/arp", "", 200},
	{"POST /v1/ports", "/v1/ports", `{"name":"tree","netns":"c3","bpdu_guard":true,"allow_reserved":true}`, 201},
	{"DELETE /v1/ports/{port}", "/v1/ports/tree", "", 200},
	{"GET /v1/pools", "/v1/pools", "", 200},
	{"DELETE /v1/pools/{pool}", "/v1/pools/d4735e3a265e", "", 200},
	{"DELETE /v1/pools/{pool}", "/v1/pools/none", "", 404},
	{"DELETE /v1/ports/{port}", "/v1/ports/one", "", 200},
	{"DELETE /v1/segments/{segment}", "/v1/segments/my_bridge?force=true", "", 200},
	// Problems.
	{"POST /v1/segments", "/v1/segments", `{"name":"bridge"}`, 409},
	{"GET /v1/ports", "/v1/ports?segment=none", "", 404},
	{"POST /v1/ports", "/v1/ports", `{"name":"gateway","netns":"c9"}`, 409},
	{"PATCH /v1/ports/{port}", "/v1/ports/handed", `{"name":"gateway"}`, 409},
	{"DELETE /v1/ports/{port}", "/v1/ports/none", "", 404},
	{"DELETE /v1/segments/{segment}/fdb/{mac}", "/v1/segments/bridge/fdb/02:42:ac:11:00:02", "", 409},
	{"GET /v1/fdb", "/v1/fdb", "", 200},
	{"DELETE /v1/segments/{segment}/fdb/{mac}", "/v1/segments/bridge/fdb/x", "", 400},
}

// Drives each operation and holds request and answer against the document; test/e2e does the same
// to a daemon.
func TestServerKeepsToDocument(t *testing.T) {
	t.Parallel()
	doc, err := lab.LoadDocument("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b := controltest.New(t, "c", "c1", "c3")
	b.Machine.StartProcess(1)
	_, err = b.AddPool(t.Context(), api.PoolSpec{Subnet: netip.MustParsePrefix("10.9.0.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(upgradable{b}, slog.New(slog.DiscardHandler))
	_, err = b.AddPort(t.Context(), api.PortSpec{
		Name: "learned", NetNS: "c", IP: api.PortIP{Addr: netip.MustParseAddr("172.17.0.200")},
		Security: api.SecurityOff,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Send("learned", switchtest.Frame(frame.Broadcast, switchtest.MAC(1), "here I am"))
	unseen := operations(loadDocument(t))
	for _, test := range operationTests {
		delete(unseen, test.operation)
		driveOperation(t, server, doc, test)
	}
	for op := range unseen {
		t.Errorf("%s is not driven", op)
	}
}

func driveOperation(t *testing.T, server http.Handler, doc *lab.Document, test operationTest) {
	t.Helper()
	method, _, _ := strings.Cut(test.operation, " ")
	r := httptest.NewRequest(method, "http://vswitchd"+test.path, strings.NewReader(test.body))
	if test.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	server.ServeHTTP(rec, r)
	if rec.Code != test.status {
		t.Errorf("%s %s: got status %d %s, want %d", method, test.path, rec.Code, rec.Body, test.status)
	}
	if err := doc.Check(lab.Exchange{
		Request: r, Sent: []byte(test.body), Status: rec.Code, Header: rec.Header(), Body: rec.Body.Bytes(),
	}); err != nil {
		t.Errorf("%s %s: %v", method, test.path, err)
	}
}

// The kinds of errors that this package names are those of the document.
func TestDocumentNamesEveryKind(t *testing.T) {
	t.Parallel()
	doc := loadDocument(t)
	var want []any
	for _, kind := range []api.Kind{
		api.Invalid, api.Denied, api.NotFound, api.MethodNotAllowed, api.Conflict, api.Exhausted,
		api.TooLarge, api.Internal, api.Unsupported, api.Unavailable,
	} {
		want = append(want, "urn:vswitch:problem:"+string(kind))
	}
	if got := doc.Components.Schemas["Problem"].Value.Properties["type"].Value.Enum; !slices.Equal(got, want) {
		t.Errorf("types of problems: the document has %v, want %v", got, want)
	}
}

// What a valid spec of the document looks like is what the Go types marshal to.
func TestSpecsMarshalToDocument(t *testing.T) {
	t.Parallel()
	doc := loadDocument(t)
	up, value := true, "v"
	for name, v := range map[string]any{
		"SegmentSpec": api.SegmentSpec{Name: "s"},
		"PortSpec":    api.PortSpec{Name: "p", PID: 1},
		"PortUpdate":  api.PortUpdate{MAC: new(macOf("02:00:00:00:00:31")), Up: &up, Labels: map[string]*string{"a": nil, "b": &value}},
		"FDBFlush":    api.FDBFlush{},
		"RuleSpec":    api.RuleSpec{Action: api.RuleAllow},
	} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var decoded any
		if err := json.Unmarshal(data, &decoded); err != nil {
			t.Fatal(err)
		}
		if err := doc.Components.Schemas[name].Value.VisitJSON(decoded); err != nil {
			t.Errorf("%s %s: %v", name, data, err)
		}
	}
}
