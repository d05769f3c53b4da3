package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/controltest"
)

type problem struct {
	Type, Title, Detail, Instance string
	Status                        int
}

// macOf and portsOf read a value that is right.
func macOf(s string) api.MAC         { return right(api.ParseMAC(s)) }
func portsOf(s string) api.PortRange { return right(api.ParsePorts(s)) }
func right[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// do sends one request to a server of b without a socket between.
func do(t testing.TB, b api.Backend, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	api.NewServer(b, slog.New(slog.DiscardHandler)).ServeHTTP(rec, httptest.NewRequest(method, target, strings.NewReader(body)))
	return rec
}

func readProblem(t *testing.T, rec *httptest.ResponseRecorder) problem {
	t.Helper()
	if got := rec.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("got content type %q with %s", got, rec.Body)
	}
	var p problem
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v in %s", err, rec.Body)
	}
	if p.Status != rec.Code {
		t.Errorf("document says status %d, header %d", p.Status, rec.Code)
	}
	return p
}

// manyAux is a segment with n auxiliary addresses.
func manyAux(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"a%d":"10.1.%d.5"`, i, i%256)
	}
	return `{"name":"s","subnet":"10.0.0.0/8","aux_addresses":{` + strings.Join(list, ",") + `}}`
}

func TestServerRefuses(t *testing.T) {
	t.Parallel()
	label := func(k, v string) string { return fmt.Sprintf(`{"name":"s","labels":{%q:%q}}`, k, v) }
	const segments, ports, fdb = "POST /v1/segments", "POST /v1/ports", "POST /v1/segments/bridge/fdb"
	tests := []struct{ route, body, kind, detail string }{
		{segments, ``, "invalid", `request body is empty: want a JSON object`},
		{segments, `{`, "invalid", `request body: unexpected EOF`},
		{segments, `null`, "invalid", `request body is null: want a JSON object`},
		{"POST /v1/segments/bridge/fdb/flush", `null`, "invalid", `request body is null`},
		{segments, `{"name":"s","labels":{"a\nb":7}}`, "invalid", `cannot unmarshal number`},
		{segments, `[]`, "invalid", `cannot unmarshal array`},
		{segments, `{"name":7}`, "invalid", `cannot unmarshal number`},
		{segments, `{"name":"s"} x`, "invalid", `request body`},
		{segments, `{"name":"s"}{}`, "invalid", `goes on after its JSON object`},
		{segments, `{"name":"s","colour":1}`, "invalid", `unknown field "colour"`},
		{segments, `{"` + strings.Repeat("colour", 100) + `":1}`, "invalid", `unknown field "colour`},
		{segments, `{"name":"s","mtu":1` + strings.Repeat("0", 400) + `}`, "invalid", `cannot unmarshal number`},
		{segments, `{"name":"s","labels":{"a":"` + strings.Repeat("x", 1<<20) + `"}}`, "too-large", `over 1048576 bytes`},
		{segments, `{"name":"-s"}`, "invalid", `segment name "-s"`},
		{segments, `{"name":"` + strings.Repeat("s", 64) + `"}`, "invalid", `1 to 63`},
		{segments, `{"name":"a b"}`, "invalid", `segment name "a b"`},
		{segments, `{"name":"s","mtu":67}`, "invalid", `mtu 67: want 68 to 65521 bytes`},
		{segments, `{"name":"s","mtu":65522}`, "invalid", `mtu 65522`},
		{segments, `{"name":"s","mtu":-1}`, "invalid", `mtu -1`},
		{segments, `{"name":"s","gateway":"10.1.0.1"}`, "invalid", `needs a subnet`},
		{segments, `{"name":"s","ip_range":"10.1.0.0/25"}`, "invalid", `needs a subnet`},
		{segments, `{"name":"s","subnet":"10.1.0.0"}`, "invalid", `such as 10.1.0.0/24`},
		{segments, `{"name":"s","subnet":"10.1.0.5/24"}`, "invalid", `has host bits set: want 10.1.0.0/24`},
		{segments, `{"name":"s","subnet":"10.1.0.0/31","gateway":"10.1.0.2"}`, "invalid", `10.1.0.2 is not in subnet 10.1.0.0/31: want one such as 10.1.0.0`},
		{segments, `{"name":"s","subnet":"255.255.255.255/32"}`, "invalid", `not for hosts`},
		{segments, `{"name":"s","subnet":"240.0.0.0/5"}`, "invalid", `prefix length of 8 to 32`},
		{segments, `{"name":"s","subnet":"0.0.0.0/0"}`, "invalid", `prefix length of 8 to 32`},
		{segments, `{"name":"s","subnet":"224.0.0.0/24"}`, "invalid", `not for hosts`},
		{segments, `{"name":"s","subnet":"127.0.0.0/8"}`, "invalid", `not for hosts`},
		{segments, `{"name":"s","subnet":"fd00::/64"}`, "unsupported", `only IPv4`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","gateway":"10.2.0.1"}`, "invalid", `not a host of subnet 10.1.0.0/24: want one such as 10.1.0.1`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","gateway":"10.1.0.0"}`, "invalid", `not a host`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","gateway":"10.1.0.255"}`, "invalid", `not a host`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","gateway":"x"}`, "invalid", `gateway "x"`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","ip_range":"10.1.0.5/25"}`, "invalid", `host bits set: want 10.1.0.0/25`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","ip_range":"10.2.0.0/25"}`, "invalid", `not inside subnet`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","ip_range":"10.0.0.0/8"}`, "invalid", `not inside subnet`},
		{segments, `{"name":"s","aux_addresses":{"r":"10.1.0.5"}}`, "invalid", `auxiliary addresses need a subnet`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","aux_addresses":{"r":"10.2.0.5"}}`, "invalid", `auxiliary address 10.2.0.5 is not a host of subnet 10.1.0.0/24`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","aux_addresses":{"r":"10.1.0.255"}}`, "invalid", `10.1.0.255 is not a host`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","aux_addresses":{"r":"x"}}`, "invalid", `"x"`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","aux_addresses":{"":"10.1.0.5"}}`, "invalid", `name "" of an auxiliary address`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","aux_addresses":{"a\u0000":"10.1.0.5"}}`, "invalid", `printable characters`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","aux_addresses":{"a":"10.1.0.5","b":"::ffff:10.1.0.5"}}`, "invalid", `10.1.0.5 is given as "a" and as "b"`},
		{segments, `{"name":"s","subnet":"10.1.0.0/24","gateway":"10.1.0.9","aux_addresses":{"a":"10.1.0.9"}}`, "invalid", `10.1.0.9 is the gateway's`},
		{segments, manyAux(257), "invalid", `257 auxiliary addresses: want at most 256`},
		{segments, label("", "v"), "invalid", `label key ""`},
		{segments, label("a=b", "v"), "invalid", `label key "a=b"`},
		{segments, `{"name":"s","labels":{"a":"\u001b[31m"}}`, "invalid", `label a: want a value`},
		{segments, `{"name":"s","id":"5fb1286b"}`, "invalid", `segment id "5fb1286b": want 64 hex digits`},
		{segments, `{"name":"s","id":"` + strings.Repeat("AB", 32) + `"}`, "invalid", `in lower case`},
		{"PATCH /v1/segments/bridge", `{}`, "invalid", `nothing to change`},
		{"PATCH /v1/segments/bridge", `{"subnet":"10.1.0.1/24"}`, "invalid", `has host bits set`},
		{"PATCH /v1/segments/bridge", `{"name":"-"}`, "invalid", `segment name "-"`},
		{"PATCH /v1/segments/bridge", `{"labels":{"":null}}`, "invalid", `label key ""`},
		{ports, `{"name":"p","id":"x"}`, "invalid", `port id "x"`},
		{ports, `{"name":"p","handover":true,"netns":"c"}`, "invalid", `handover excludes netns, pid, ifname and allow_host_netns`},
		{"PATCH /v1/ports/p", `{"netns":"a/b"}`, "invalid", `netns "a/b"`},
		{ports, `{"name":"p"}`, "invalid", `no namespace: give netns or pid`},
		{ports, `{"name":"p","netns":"c","pid":1}`, "invalid", `netns "c" and pid 1 are both given`},
		{ports, `{"name":"p","pid":-1}`, "invalid", `pid -1: want 1 to 4194304`},
		{ports, `{"name":"p","netns":"a/b"}`, "invalid", `netns "a/b"`},
		{ports, `{"name":"p","netns":".."}`, "invalid", `netns ".."`},
		{ports, `{"name":"p","netns":"a\u0000"}`, "invalid", `netns "a\x00"`},
		{ports, `{"name":"p","netns":"c","segment":"a/b"}`, "invalid", `segment "a/b"`},
		{ports, `{"name":"p","netns":"c","ifname":"0123456789abcdef"}`, "invalid", `ifname "0123456789abcdef": want 1 to 15`},
		{ports, `{"name":"p","netns":"c","ifname":"eth%d"}`, "invalid", `ifname "eth%d"`},
		{ports, `{"name":"p","netns":"c","ip":"10.0.0.1/8"}`, "invalid", `without prefix length`},
		{ports, `{"name":"p","netns":"c","ip":"224.0.0.1"}`, "invalid", `unicast`},
		{ports, `{"name":"p","netns":"c","ip":"::1"}`, "unsupported", `only IPv4`},
		{ports, `{"name":"p","netns":"c","ip":"fe80::1%\n` + strings.Repeat("x", 400) + `"}`, "unsupported", `only IPv4`},
		{"POST /v1/ports/p/published", `{"ports":"80","host_ip":"fe80::1%\n"}`, "unsupported", `only IPv4`},
		{ports, `{"name":"p","netns":"c","mac":"01:00:5e:00:00:01"}`, "invalid", `group address`},
		{ports, `{"name":"p","netns":"c","mac":"00:00:00:00:00:00"}`, "invalid", `belongs to nobody`},
		{ports, `{"name":"p","netns":"c","mac":"02:42:ac:11:00:02:00:01"}`, "invalid", `six bytes`},
		{"PATCH /v1/ports/p", `{}`, "invalid", `nothing to change`},
		{ports, `{"name":"gateway","netns":"c"}`, "conflict", `port name "gateway" is reserved for the segment's gateway in listings: choose another name`},
		{"PATCH /v1/ports/p", `{"name":"gateway"}`, "conflict", `choose another name`},
		{"PATCH /v1/ports/p", `{"mac":""}`, "invalid", `mac "": want six bytes in hex`},
		{"PATCH /v1/ports/p", `{"mac":"03:42:ac:11:00:02"}`, "invalid", `group address: want a unicast`},
		{"PATCH /v1/ports/p", `{"mac":"00-00-00-00-00-00"}`, "invalid", `belongs to nobody`},
		{"PATCH /v1/ports/p", `{"mac":"02:42:ac:11:00:02:00:01"}`, "invalid", `six bytes`},
		{"PATCH /v1/ports/p", `{"name":""}`, "invalid", `port name ""`},
		{"PATCH /v1/ports/p", `{"rate_out":""}`, "invalid", `rate out: rate "": want`},
		{"PATCH /v1/ports/p", `{"up":null,"mac":null}`, "invalid", `nothing to change`},
		{ports, `{"name":"p","netns":"c","mac":7}`, "invalid", `mac: json: cannot unmarshal number`},
		{"POST /v1/ports/p/published", `{"ports":"80","host_ports":"x"}`, "invalid", `host ports: ports "x": want one of`},
		{"POST /v1/segments/bridge/rules", `{"action":"deny","from":{"prt":"p"}}`, "invalid", `from: json: unknown field "prt"`},
		{"DELETE /v1/ports/p/published", ``, "invalid", `query lacks host_ports`},
		{"DELETE /v1/ports/p/published?host_ports=80&protocol=icmp", ``, "invalid", `protocol "icmp": want tcp or udp`},
		{"PATCH /v1/ports/p", `{"labels":{"":null}}`, "invalid", `label key ""`},
		{fdb, `{"mac":"x","port":"p"}`, "invalid", `mac "x"`},
		{fdb, `{"mac":"02:00:00:00:00:01"}`, "invalid", `port ""`},
		{"POST /v1/segments/bridge/fdb/flush", `{"port":"/"}`, "invalid", `port "/"`},
		{"DELETE /v1/segments/bridge/fdb/nonsense", ``, "invalid", `mac "nonsense"`},
		{"DELETE /v1/segments/bridge?force=maybe", ``, "invalid", `force "maybe": want true or false`},
		{"DELETE /v1/segments/bridge?forse=true", ``, "invalid", `unknown query parameter "forse"`},
		{"DELETE /v1/segments/bridge?force=true&force=false", ``, "invalid", `query gives force 2 times`},
		{"GET /v1/ports?segment=%2F", ``, "invalid", `segment "/"`},
		{"GET /v1/ports?segment=%zz", ``, "invalid", `query "segment=%zz"`},
		{"GET /v1/ports/a%2Fb", ``, "invalid", `port "a/b"`},
		{"DELETE /v1/segments/bridge/rules/a%0Ab?x=1", ``, "invalid", `unknown query parameter "x"`},
		{"PUT /v1/segments/a%0Ab", ``, "method-not-allowed", `want DELETE, GET, HEAD, PATCH`},
		{"POST /v1/upgrade", `{"binary":"/a\u0000b"}`, "invalid", `binary "/a\x00b": want an absolute path`},
		{"POST /v1/upgrade", `{"binary":"/` + strings.Repeat("a", 4095) + `"}`, "invalid", `want an absolute path`},
		{"GET /v1/version?x=1", ``, "invalid", `unknown query parameter "x"`},
		{"GET /", ``, "not-found", `no route "/"`},
		{"GET /v2/segments", ``, "not-found", `no route "/v2/segments": this vswitchd has version v1 of the API, not v2`},
		{"GET /v1/segmints", ``, "not-found", `no route "/v1/segmints": want one of openapi.yaml`},
		{"GET /v1/segments/", ``, "not-found", `no route`},
		{"GET /v1//segments", ``, "not-found", `no route`},
		{"GET /v1/ports/../segments", ``, "not-found", `no route`},
		{"OPTIONS *", ``, "not-found", `no route`},
	}
	for _, test := range tests {
		method, target, _ := strings.Cut(test.route, " ")
		p := readProblem(t, do(t, nil, method, target, test.body)) // what reaches a backend panics
		if want := "urn:vswitch:problem:" + test.kind; p.Type != want {
			t.Errorf("%s %.60s: got type %s, want %s", test.route, test.body, p.Type, want)
		}
		if !strings.Contains(p.Detail, test.detail) {
			t.Errorf("%s %.60s: got detail %q, want one with %q", test.route, test.body, p.Detail, test.detail)
		}
		if strings.ContainsAny(p.Detail, "\n\x00") || len(p.Detail) > 300 {
			t.Errorf("%s %.60s: detail is not one readable line: %q", test.route, test.body, p.Detail)
		}
	}
}

func TestServerAcceptsAtTheLimits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ target, body string }{
		{"/v1/segments", `{"name":"` + strings.Repeat("s", 63) + `"}`},
		{"/v1/segments", `{"name":"s","mtu":68}`},
		{"/v1/segments", `{"name":"s","mtu":65521}`},
		{"/v1/segments", `{"name":"s","subnet":"10.0.0.0/8","gateway":"10.255.255.254","ip_range":"10.0.0.0/8"}`},
		{"/v1/segments", `{"name":"s","subnet":"192.168.1.0/30","gateway":"192.168.1.2"}`},
		{"/v1/segments", ` {"name":"s"} ` + "\n"},
		{"/v1/segments", `{"name":"s","id":"","subnet":"","gateway":"","ip_range":null,"uplink":null,"labels":null}`},
		{"/v1/ports", `{"name":"p","netns":"c","ip":"","mac":"","rate_in":"","rate_out":"none","allow_addresses":[]}`},
		{"/v1/ports", `{"name":"p","pid":4194304}`},
		{"/v1/ports", `{"name":"gateway1","netns":"c","aliases":["gateway"]}`},
		{"/v1/segments", `{"name":"gateway"}`},
		{"/v1/ports", `{"name":"p","netns":"/proc/1/ns/net","ifname":"0123456789abcde"}`},
	} {
		b := controltest.New(t, "c", "/proc/1/ns/net")
		b.Machine.StartProcess(4194304)
		if rec := do(t, b, "POST", test.target, test.body); rec.Code != http.StatusCreated {
			t.Errorf("POST %s %s: got %d %s", test.target, test.body, rec.Code, rec.Body)
		}
	}
}

func TestServerCanonicalises(t *testing.T) {
	t.Parallel()
	b := controltest.New(t, "c")
	for _, mac := range []string{"02-42-AC-11-00-99", "0242.ac11.0099", "02:42:AC:11:00:99"} {
		rec := do(t, b, "POST", "/v1/ports", `{"name":"p","netns":"c","mac":"`+mac+`"}`)
		var p api.Port
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if p.MAC != macOf("02:42:ac:11:00:99") || p.Segment != "bridge" || p.IfName != "eth0" {
			t.Errorf("mac %s: got %s", mac, rec.Body)
		}
		if got, want := rec.Header().Get("Location"), "/v1/ports/"+p.ID; got != want {
			t.Errorf("got location %q, want %q", got, want)
		}
		rec = do(t, b, "PATCH", "/v1/ports/p", `{"mac":"`+strings.ReplaceAll(mac, "99", "98")+`"}`)
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || p.MAC != macOf("02:42:ac:11:00:98") {
			t.Errorf("changed in the form of %s: got %s, %v", mac, rec.Body, err)
		}
		if rec := do(t, b, "DELETE", "/v1/ports/p", ""); rec.Code != http.StatusOK {
			t.Errorf("got %d %s", rec.Code, rec.Body)
		}
	}
}

func TestServerNamesAllowedMethods(t *testing.T) {
	t.Parallel()
	for target, allow := range map[string]string{
		"/v1/segments":                  "GET, HEAD, POST",
		"/v1/segments/bridge":           "DELETE, GET, HEAD, PATCH",
		"/v1/ports/p":                   "DELETE, GET, HEAD, PATCH",
		"/v1/segments/bridge/fdb":       "POST",
		"/v1/segments/bridge/fdb/flush": "DELETE, POST",
	} {
		rec := do(t, nil, "PUT", target, "")
		if p := readProblem(t, rec); p.Status != 405 || !strings.Contains(p.Detail, "want "+allow) || p.Instance != target {
			t.Errorf("PUT %s: got %+v", target, p)
		}
		if got := rec.Header().Get("Allow"); got != allow {
			t.Errorf("PUT %s: got Allow %q, want %q", target, got, allow)
		}
	}
}

func TestServerReportsBackendErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err    error
		kind   string
		status int
	}{
		{api.NotFoundf("x"), "not-found", 404},
		{api.Conflictf("x"), "conflict", 409},
		{api.Exhaustedf("x"), "exhausted", 409},
		{api.Invalidf("x"), "invalid", 400},
		{api.Unsupportedf("x"), "unsupported", 501},
		{api.Deniedf("x"), "denied", 403},
		{api.Unavailablef("x"), "unavailable", 503},
		{api.Internalf("x"), "internal", 500},
		{fmt.Errorf("adding: %w", api.Conflictf("x")), "conflict", 409},
		{io.ErrUnexpectedEOF, "internal", 500},
		{context.DeadlineExceeded, "unavailable", 503},
		{&api.Error{Detail: "x"}, "internal", 500},
	} {
		failing := listing{list: func(context.Context) ([]api.Segment, error) { return nil, test.err }}
		p := readProblem(t, do(t, failing, "GET", "/v1/segments", ""))
		if p.Type != "urn:vswitch:problem:"+test.kind || p.Status != test.status || p.Detail != test.err.Error() {
			t.Errorf("%v: got %+v", test.err, p)
		}
	}
}

// broken is a backend that panics when it is to add a port.
type broken struct{ listing }

func (broken) AddPort(context.Context, api.PortSpec) (api.Port, error) { panic("out of order") }

func TestServerSurvivesPanic(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	server := api.NewServer(broken{listing{list: func(context.Context) ([]api.Segment, error) {
		return nil, nil
	}}}, slog.New(slog.NewTextHandler(&log, nil)))
	rec := httptest.NewRecorder()
	server.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/v1/ports", strings.NewReader(`{"name":"p","netns":"c"}`)))
	if p := readProblem(t, rec); p.Status != 500 || strings.Contains(p.Detail, "out of order") {
		t.Errorf("got %+v", p)
	}
	if !strings.Contains(log.String(), "out of order") || !strings.Contains(log.String(), "server_test.go") {
		t.Errorf("the log has neither panic nor stack: %s", log.String())
	}
	rec = httptest.NewRecorder()
	server.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/segments", nil))
	if rec.Code != 200 {
		t.Errorf("after the panic: got %d", rec.Code)
	}
}

func TestServerListsInOrderAndNeverNull(t *testing.T) {
	t.Parallel()
	b := controltest.New(t, "z", "a", "m")
	for _, target := range []string{"/v1/ports", "/v1/published", "/v1/rules", "/v1/pools"} {
		if got := strings.TrimSpace(do(t, b, "GET", target, "").Body.String()); got != "[]" {
			t.Errorf("GET %s: got %s", target, got)
		}
	}
	for _, name := range []string{"z", "a", "m"} {
		do(t, b, "POST", "/v1/ports", `{"name":"`+name+`","netns":"`+name+`"}`)
	}
	var ports []api.Port
	rec := do(t, b, "GET", "/v1/ports", "")
	if err := json.Unmarshal(rec.Body.Bytes(), &ports); err != nil {
		t.Fatal(err)
	}
	if len(ports) != 3 || ports[0].Name != "z" || ports[1].Name != "a" || ports[2].Name != "m" {
		t.Errorf("not in order of creation: %+v", ports)
	}
	if strings.Contains(rec.Body.String(), "null") {
		t.Errorf("null in %s", rec.Body)
	}
}
