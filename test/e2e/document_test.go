package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"vswitch/test/lab"
)

// apiCall is a request as a user's script might send it.
type apiCall struct {
	request string // "METHOD /path", with $NAME in place of what an earlier call has kept
	body    string // likewise
	status  int
	keep    string // NAME for the id in the answer
}

// apiCalls has each operation succeed, and fail in each way that does not harm the daemon.
var apiCalls = []apiCall{
	{"GET /v1/version", "", 200, ""},
	{"GET /v1/version?colour=red", "", 400, ""},
	{"GET /v1/backup", "", 200, ""},
	{"GET /v1/workers", "", 200, ""},

	{"POST /v1/segments", `{"name":"plain"}`, 201, ""},
	{"POST /v1/segments", `{"name":"full","subnet":"10.1.0.0/24","gateway":"10.1.0.9",
		"ip_range":"10.1.0.128/25","internal":true,"mtu":9000,"labels":{"a":"b"},
		"aux_addresses":{"r":"10.1.0.7","DefaultGatewayIPv4":"10.1.0.8"}}`, 201, ""},
	{"POST /v1/segments", `{"name":"one","subnet":"10.4.0.1/32","internal":true}`, 201, ""},
	{"POST /v1/segments", `{"name":"tiny","subnet":"10.2.0.0/30","uplink":"none"}`, 201, ""},
	{"POST /v1/segments", `{"name":"plain"}`, 409, ""},
	{"POST /v1/segments", `{"name":"v6","subnet":"fd00::/64"}`, 501, ""},
	{"POST /v1/segments", `{"name":"-"}`, 400, ""},
	{"POST /v1/segments", `{"name":"big","labels":{"a":"$big"}}`, 413, ""},
	{"GET /v1/segments", "", 200, ""},
	{"GET /v1/segments/full", "", 200, ""},
	{"GET /v1/segments/nothing", "", 404, ""},
	{"GET /v1/segments/a%2Fb", "", 400, ""},
	{"PATCH /v1/segments/full", `{"name":"lab","labels":{"x":"y","a":null}}`, 200, ""},
	{"PATCH /v1/segments/plain", `{"subnet":""}`, 200, ""},
	{"PATCH /v1/segments/plain", `{}`, 400, ""},
	{"PATCH /v1/segments/plain", `{"name":"lab"}`, 409, ""},

	{
		"POST /v1/ports",
		`{"name":"one","netns":"$one","labels":{"tier":"front"},"aliases":["web"]}`, 201, "id",
	},
	{"POST /v1/ports", `{"name":"two","netns":"$two","segment":"lab","ifname":"net0",
		"ip":"10.1.0.130","mac":"02-00-00-00-00-07","no_default_route":true,"resolv_conf":true,
		"security":"mac","allow_addresses":["10.9.0.0/16","fd00::1"],"allow_reserved":true,
		"allow_macs":["00:00:5e:00:01:00/ff:ff:ff:ff:ff:00"],"allow_protocols":["ptp","0x88b5"],
		"bpdu_guard":true,"isolated":true,"mac_limit":-1,"flood_limit":5,"rate_in":"none",
		"rate_out":"100mbit:64kb"}`, 201, ""},
	{"POST /v1/ports", `{"name":"handed","handover":true}`, 201, ""},
	{"POST /v1/ports", `{"name":"client","netns":"$three","ip":"dhcp"}`, 201, ""},
	{"POST /v1/ports", `{"name":"only","netns":"$one","segment":"tiny","ifname":"eth1"}`, 201, ""},
	{"POST /v1/ports", `{"name":"more","netns":"$two","segment":"tiny","ifname":"eth1"}`, 409, ""},
	{"POST /v1/ports", `{"name":"one","netns":"$one"}`, 409, ""},
	{"POST /v1/ports", `{"name":"gateway","netns":"$one"}`, 409, ""},
	{"POST /v1/ports", `{"name":"none","netns":"$one","colour":"red"}`, 400, ""},
	{"POST /v1/ports", `{"name":"v6","netns":"$one","ip":"fd00::2"}`, 501, ""},
	{"POST /v1/ports", "", 400, ""},
	{"GET /v1/ports", "", 200, ""},
	{"GET /v1/ports?segment=lab", "", 200, ""},
	{"GET /v1/ports?segment=nothing", "", 404, ""},
	{"GET /v1/ports?segment=lab&segment=plain", "", 400, ""},
	{"GET /v1/ports/$id", "", 200, ""},
	{"GET /v1/ports/two", "", 200, ""},
	{"GET /v1/ports/handed", "", 200, ""},
	{"GET /v1/ports/nothing", "", 404, ""},
	{"PATCH /v1/ports/one", `{"up":false,"labels":{"x":"y","nothing":null},"aliases":[]}`, 200, ""},
	{"PATCH /v1/ports/one", `{"up":true,"mac":"02-00-00-00-00-31","security":"off",
		"allow_addresses":["10.8.0.1"],"mac_limit":0,"flood_limit":-1,"rate_in":"1mbit"}`, 200, ""},
	{"PATCH /v1/ports/handed", `{"netns":"nothing"}`, 200, ""},
	{"PATCH /v1/ports/one", `{"mac":"03-00-00-00-00-31"}`, 400, ""},
	{"PATCH /v1/ports/one", `{"name":"two"}`, 409, ""},
	{"GET /v1/segments/bridge/inspect", "", 200, ""},
	{"GET /v1/segments/lab/inspect", "", 200, ""},
	{"GET /v1/segments/nothing/inspect", "", 404, ""},

	{"POST /v1/segments/bridge/fdb", `{"mac":"02:00:00:00:00:aa","port":"one"}`, 201, ""},
	{"POST /v1/segments/bridge/fdb", `{"mac":"02:00:00:00:00:aa","port":"two"}`, 400, ""},
	{"POST /v1/segments/bridge/fdb", `{"mac":"02:42:ac:11:00:01","port":"one"}`, 409, ""},
	{"GET /v1/fdb", "", 200, ""},
	{"GET /v1/fdb?segment=nothing", "", 404, ""},
	{"POST /v1/segments/bridge/fdb/flush", `{"port":"one"}`, 200, ""},
	{"POST /v1/segments/bridge/fdb/flush", `{}`, 200, ""},
	{"POST /v1/segments/bridge/fdb/flush", `[]`, 400, ""},
	{"DELETE /v1/segments/bridge/fdb/02-00-00-00-00-AA", "", 200, ""},
	{"DELETE /v1/segments/bridge/fdb/02:00:00:00:00:aa", "", 404, ""},
	{"DELETE /v1/segments/bridge/fdb/02:42:ac:11:00:01", "", 409, ""},
	{"DELETE /v1/segments/bridge/fdb/x", "", 400, ""},
	{"GET /v1/arp", "", 200, ""},
	{"GET /v1/arp?segment=bridge", "", 200, ""},
	{"GET /v1/arp?segment=nothing", "", 404, ""},

	{"POST /v1/segments/bridge/rules", `{"action":"deny","from":{"port":"one"},
		"to":{"label":"tier=front"},"protocol":"tcp","ports":"80-90","position":1}`, 201, "rule"},
	{"POST /v1/segments/bridge/rules", `{"action":"allow"}`, 201, ""},
	{"POST /v1/segments/bridge/rules", `{"action":"deny","protocol":"icmp"}`, 201, ""},
	{"POST /v1/segments/bridge/rules", `{"action":"shrug"}`, 400, ""},
	{"POST /v1/segments/bridge/rules", `{"action":"deny","from":{"port":"nothing"}}`, 404, ""},
	{"GET /v1/rules", "", 200, ""},
	{"DELETE /v1/segments/bridge/rules/$rule", "", 200, ""},
	{"DELETE /v1/segments/bridge/rules/$rule", "", 404, ""},

	{
		"POST /v1/ports/one/published",
		`{"host_ip":"127.0.0.1","host_ports":"8000-8010","ports":"80-90","protocol":"udp"}`, 201, "",
	},
	{"POST /v1/ports/one/published", `{"ports":"80"}`, 201, ""},
	{
		"POST /v1/ports/one/published",
		`{"host_ip":"127.0.0.1","host_ports":"8000","ports":"80","protocol":"udp"}`, 409, "",
	},
	{"POST /v1/ports/one/published", `{"host_ports":"8000-8010","ports":"80"}`, 400, ""},
	{"POST /v1/ports/two/published", `{"ports":"80"}`, 400, ""},
	{"POST /v1/ports/one/published", `{"host_ip":"::1","ports":"80"}`, 501, ""},
	{"GET /v1/published", "", 200, ""},
	{"GET /v1/published?segment=lab", "", 200, ""},
	{"GET /v1/ports/one", "", 200, ""},
	{
		"DELETE /v1/ports/one/published?host_ip=127.0.0.1&host_ports=8000-8010&protocol=udp",
		"", 200, "",
	},
	{"DELETE /v1/ports/one/published?host_ports=1", "", 404, ""},
	{"DELETE /v1/ports/one/published", "", 400, ""},

	{"GET /v1/pools", "", 200, ""},
	{"DELETE /v1/pools/$pool", "", 200, ""},
	{"DELETE /v1/pools/$pool", "", 404, ""},

	{"DELETE /v1/ports/one", "", 200, ""},
	{"DELETE /v1/ports/one", "", 404, ""},
	{"DELETE /v1/segments/lab", "", 409, ""},
	{"DELETE /v1/segments/lab?force=true", "", 200, ""},
	{"DELETE /v1/segments/plain?force=perhaps", "", 400, ""},
	{"DELETE /v1/segments/bridge", "", 409, ""},

	{"GET /v1/nothing", "", 404, ""},
	{"GET /", "", 404, ""},
	{"GET /v1/ports/", "", 404, ""},
	{"HEAD /v1/ports", "", 200, ""},
	{"HEAD /v1/ports/nothing", "", 404, ""},
	{"PUT /v1/ports", "{}", 405, ""},
	{"DELETE /v1/version", "", 405, ""},

	{"POST /v1/upgrade", `{"binary":"vswitchd"}`, 400, ""},
	{"POST /v1/upgrade", `{"id":"1"}`, 400, ""},
	{"GET /v1/upgrades", "", 200, ""},
	{"POST /v1/upgrade", `{"id":"0123456789abcdef"}`, 200, ""},
	{"GET /v1/ports", "", 200, ""}, // as the upgraded daemon has found them so far
	{"GET /v1/upgrades", "", 200, ""},
	{"POST /v1/ports", `{"name":"none","netns":"nothing"}`, 404, ""},
}

// The proxy of the socket holds what passes against the document; the test sees that each
// operation succeeds once.
func TestTheDaemonKeepsToItsDocument(t *testing.T) {
	t.Parallel()
	h := newQuietHost(t)
	plugin := filepath.Join(h.Dir, "plugin.sock")
	h.NS.Run("ip", "link", "set", "lo", "up")
	h.Start("--docker", "--docker-socket", plugin)
	known := map[string]string{
		"pool": h.requestPool(plugin), "big": strings.Repeat("x", 1<<20),
	}
	for _, name := range []string{"one", "two", "three"} {
		known[name] = h.Container().Name()
	}
	client := unixClient(h.CheckedSocket())
	defer client.CloseIdleConnections()
	daemon := asked{t, client.Transport, known}
	for _, call := range apiCalls {
		daemon.call(call)
	}
	wantAllOperations(t, apiCalls)
}

// wantAllOperations wants each operation of the document among the calls that succeed.
func wantAllOperations(t *testing.T, calls []apiCall) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(lab.Program("openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var paths http.ServeMux // finds the operation of a request
	missing := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			missing[method+" "+path] = true
			paths.Handle(method+" "+path, http.NotFoundHandler())
		}
	}
	for _, call := range calls {
		method, target, _ := strings.Cut(call.request, " ")
		if call.status < 300 {
			_, operation := paths.Handler(httptest.NewRequest(method, target, nil))
			delete(missing, operation)
		}
	}
	for operation := range missing {
		t.Errorf("%s is not among the calls that succeed", operation)
	}
}

// asked is a daemon with what it has answered.
type asked struct {
	testing.TB
	transport http.RoundTripper
	known     map[string]string // by the names that calls have for it
}

// call makes a call and wants its status.
func (a *asked) call(c apiCall) {
	a.Helper()
	expand := func(name string) string { return a.known[name] }
	method, target, _ := strings.Cut(os.Expand(c.request, expand), " ")
	request, err := http.NewRequestWithContext(a.Context(), method, "http://vswitchd"+target,
		strings.NewReader(os.Expand(c.body, expand)))
	if err != nil {
		a.Fatal(err)
	}
	if c.body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := a.transport.RoundTrip(request)
	if err != nil {
		a.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		a.Fatal(err)
	}
	if response.StatusCode != c.status {
		a.Errorf("%s %.200s: status %d, want %d: %.300s",
			c.request, c.body, response.StatusCode, c.status, body)
	}
	var made struct{ ID string }
	if c.keep != "" && json.Unmarshal(body, &made) == nil {
		a.known[c.keep] = made.ID
	}
}

// requestedPool is the subnet that requestPool takes.
const requestedPool = "10.73.0.0/24"

// requestPool takes a subnet as Docker's address management does, and returns the pool's id.
func (h *host) requestPool(plugin string) string {
	h.Helper()
	client := unixClient(plugin)
	defer client.CloseIdleConnections()
	answer, err := client.Post("http://plugin/IpamDriver.RequestPool", "application/json",
		strings.NewReader(`{"AddressSpace":"vswitch","Pool":"`+requestedPool+`"}`))
	if err != nil {
		h.Fatal(err)
	}
	defer answer.Body.Close()
	var pool struct{ PoolID string }
	if err := json.NewDecoder(answer.Body).Decode(&pool); err != nil || pool.PoolID == "" {
		h.Fatalf("take a pool: status %d, %v", answer.StatusCode, err)
	}
	return pool.PoolID
}

// unixClient returns a client of HTTP on a unix socket.
func unixClient(socket string) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial}}
}
