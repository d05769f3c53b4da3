package docker

import (
	"bufio"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/controltest"
)

// newPlugin returns a plugin on a switch in memory, which runs until the test's end.
func newPlugin(t *testing.T) (*Plugin, *controltest.Switch) {
	t.Helper()
	b := controltest.New(t)
	return pluginOn(b, b), b
}

// pluginOn returns a plugin on a backend.
func pluginOn(b api.Backend, pools api.Pools) *Plugin {
	return New(Options{Backend: b, Pools: pools, Log: slog.New(slog.DiscardHandler)})
}

// post asks the plugin as dockerd does.
func post(p http.Handler, path, body string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	p.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	return recorder
}

// exchange is a request of dockerd and what is to be answered; a number stands for
// a status.
type exchange struct {
	Method  string          `json:"method"`
	Request json.RawMessage `json:"request"`
	Answer  any             `json:"answer"`
}

// The requests of 20.10 were recorded from an engine at docker network create,
// connect, disconnect and rm, run and rm; those of 29 have the shapes of its source.
func TestReplay(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"engine-20.10", "engine-29"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, b := newPlugin(t)
			if _, err := b.AddSegment(t.Context(), api.SegmentSpec{Name: "other", Subnet: netip.MustParsePrefix("172.18.0.0/16")}); err != nil {
				t.Fatal(err)
			}
			pools := map[string]string{} // ids now, by those that were recorded
			for _, e := range readExchanges(t, "testdata/"+name+".jsonl") {
				replay(t, p, e, pools)
			}
			if ports, _ := b.Ports(t.Context(), ""); len(ports) > 0 {
				t.Errorf("ports are left: %+v", ports)
			}
			if list, _ := b.Segments(t.Context()); len(list) != 2 {
				t.Errorf("segments are left: %+v", list)
			}
			if list, _ := b.Pools(t.Context()); len(list) != 0 {
				t.Errorf("pools are left: %+v", list)
			}
		})
	}
}

func readExchanges(t *testing.T, path string) (list []exchange) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e exchange
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%v in %s", err, lines.Text())
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		t.Fatalf("nothing in %s: %v", path, lines.Err())
	}
	return list
}

func replay(t *testing.T, p http.Handler, e exchange, pools map[string]string) {
	t.Helper()
	request := string(e.Request)
	for recorded, now := range pools {
		request = strings.ReplaceAll(request, recorded, now)
	}
	if request == "null" {
		request = ""
	}
	got := post(p, e.Method, request)
	if status, ok := e.Answer.(float64); ok {
		if got.Code != int(status) {
			t.Errorf("%s %s: status %d, want %v", e.Method, e.Request, got.Code, status)
		}
		return
	}
	var answer any
	if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil || got.Code != http.StatusOK {
		t.Fatalf("%s: status %d, %v: %s", e.Method, got.Code, err, got.Body)
	}
	if recorded, ok := e.Answer.(map[string]any)["PoolID"].(string); ok {
		pool, _ := answer.(map[string]any)
		now, _ := pool["PoolID"].(string)
		pools[recorded] = now
		pool["PoolID"] = recorded
	}
	if !reflect.DeepEqual(answer, e.Answer) {
		t.Errorf("%s %s:\n answered %v\n want     %v", e.Method, e.Request, answer, e.Answer)
	}
	if got := got.Header().Get("Content-Type"); got != "application/vnd.docker.plugins.v1.2+json" {
		t.Errorf("%s: content type %q", e.Method, got)
	}
}
