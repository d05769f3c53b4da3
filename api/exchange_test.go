package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/control/controltest"
	"vswitch/internal/control/kernel/kerneltest"
	"vswitch/internal/host"
)

// exchange is a request of the client and the answer of the server of the last version whose both
// were written by hand, on a switch in memory. The file holds one of each kind, in the order in
// which they were made.
type exchange struct {
	Call   string          // what the client was asked for
	Method string          // of the request
	Target string          // path and query
	Sent   json.RawMessage // the request's body
	Status int
	Type   string          // of the answer's content
	Got    json.RawMessage // the answer's body; of one that is no JSON, its text
}

func exchanges(t *testing.T) []exchange {
	t.Helper()
	data, err := os.ReadFile("testdata/exchanges.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []exchange
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// body is the answer's as it was on the wire.
func (e exchange) body(t *testing.T) []byte {
	t.Helper()
	if e.Type != "application/octet-stream" {
		return e.Got
	}
	var text string
	if err := json.Unmarshal(e.Got, &text); err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}

// equalJSON says whether two texts are the same value but for fields that are newer than the
// exchanges; both may be empty.
func equalJSON(a, b []byte) bool {
	var x, y any
	errA, errB := json.Unmarshal(a, &x), json.Unmarshal(b, &y)
	if errA != nil || errB != nil {
		return bytes.Equal(a, b)
	}
	return reflect.DeepEqual(withoutNewer(x), withoutNewer(y))
}

// withoutNewer takes the fields out of a value that are newer than the exchanges.
func withoutNewer(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "since")
		for _, field := range v {
			withoutNewer(field)
		}
	case []any:
		for _, element := range v {
			withoutNewer(element)
		}
	}
	return v
}

// A client of the version before is answered as it was by its own.
func TestServerAnswersOlderClients(t *testing.T) {
	t.Parallel()
	b := switchWithPool(t)
	ids := map[string]string{} // of now, by those that were recorded
	for _, e := range exchanges(t) {
		target := withIDs(e.Target, ids, 12)
		rec := do(t, b, e.Method, target, string(e.Sent))
		want := e.body(t)
		var then, now struct{ ID string }
		if json.Unmarshal(want, &then) == nil && json.Unmarshal(rec.Body.Bytes(), &now) == nil &&
			then.ID != "" && now.ID != "" {
			ids[then.ID] = now.ID
		}
		want = []byte(withIDs(string(want), ids, 64))
		contentType := rec.Header().Get("Content-Type")
		if rec.Code != e.Status || contentType != e.Type ||
			!equalJSON(withoutChance(t, rec.Body.Bytes()), withoutChance(t, want)) {
			t.Errorf("%s: got %d %s %s,\nwant %d %s %s",
				e.Call, rec.Code, contentType, rec.Body, e.Status, e.Type, want)
		}
	}
}

// withIDs returns a text with the ids of now, of which it has the first digits.
func withIDs(text string, ids map[string]string, digits int) string {
	var pairs []string
	for then, now := range ids {
		pairs = append(pairs, then[:digits], now[:digits])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// withoutChance returns JSON without times and what is counted, but for their being there and of
// their kind; what is no JSON it returns as it is.
func withoutChance(t *testing.T, text []byte) []byte {
	t.Helper()
	var v any
	if json.Unmarshal(text, &v) != nil {
		return text
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, element := range v {
				walk(element)
			}
		case map[string]any:
			for key, value := range v {
				switch key {
				case "created", "Created":
					if _, err := time.Parse(time.RFC3339, value.(string)); err != nil {
						t.Error(err)
					}
					v[key] = "a time"
				case "counters":
					for name, counted := range value.(map[string]any) {
						v[key].(map[string]any)[name] = fmt.Sprintf("%T", counted)
					}
				}
				walk(value)
			}
		}
	}
	walk(v)
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// recorded is a switch that says of itself what the one did that the exchanges were made with.
type recorded struct{ *controltest.Switch }

func (recorded) Version(context.Context) (api.Version, error) {
	return api.Version{
		PID: 4321, Version: "v0.0.0-fake", GoVersion: "go1.26.0", API: api.APIVersion,
		Revision: "0123456789abcdef",
	}, nil
}

func (recorded) Upgrade(context.Context, api.UpgradeSpec) error { return nil }

func switchWithPool(t *testing.T) api.Backend {
	t.Helper()
	b := controltest.New(t, "c1", "c3", "n")
	b.Machine.StartProcess(4711)
	b.Machine.With(func() { // the first of the ports that the kernel chooses
		b.Machine.Reserved[kerneltest.HostPort{
			Protocol: host.TCP, At: netip.AddrPortFrom(netip.Addr{}, 32768),
		}] = true
	})
	if _, err := b.AddPool(t.Context(), api.PoolSpec{Subnet: prefixOf("10.9.0.0/24")}); err != nil {
		t.Fatal(err)
	}
	return recorded{b}
}

// withoutLength writes the addresses of a body as the client before did; its server takes both.
var withoutLength = strings.NewReplacer(`/32"`, `"`, `/128"`, `"`)

// oldServer answers a request as the version before did, if it is the one that its client sent.
type oldServer struct {
	*testing.T
	exchange
}

func (s oldServer) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	want, err := url.Parse(s.Target)
	if err != nil {
		return nil, err
	}
	sent = []byte(withoutLength.Replace(string(sent)))
	if r.Method != s.Method || r.URL.Path != want.Path ||
		!reflect.DeepEqual(r.URL.Query(), want.Query()) || !equalJSON(sent, s.Sent) {
		s.Errorf("%s: it sends %s %s %s,\nwant %s %s %s",
			s.Call, r.Method, r.URL.RequestURI(), sent, s.Method, s.Target, s.Sent)
	}
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", s.Type)
	rec.WriteHeader(s.Status)
	rec.Body.Write(s.body(s.T))
	return rec.Result(), nil
}

// A client asks a server of the version before as its own client did, and understands the answer.
func TestClientAsksOlderServers(t *testing.T) {
	t.Parallel()
	for _, e := range exchanges(t) {
		call, known := oldCalls[e.Call]
		if !known {
			t.Errorf("%s is not asked for", e.Call)
			continue
		}
		c := api.NewSocketClient("", 0, api.WithTransport(func(http.RoundTripper) http.RoundTripper {
			return oldServer{t, e}
		}))
		got, err := call(c)
		switch {
		case e.Status >= 400:
			if err == nil || !strings.Contains(string(e.Got), strconv.Quote(err.Error())) {
				t.Errorf("%s: got %v, want %s", e.Call, err, e.Got)
			}
			continue
		case err != nil:
			t.Errorf("%s: %v", e.Call, err)
			continue
		case got == nil:
			continue
		}
		if back, err := json.Marshal(got); err != nil || !equalJSON(back, e.Got) {
			t.Errorf("%s: it understands %s, %v,\nwant %s", e.Call, back, err, e.Got)
		}
	}
}

// prefixOf and addrOf read a value that is right.
func prefixOf(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addrOf(s string) netip.Addr     { return netip.MustParseAddr(s) }

// returned is a result for a call.
func returned[T any](v T, err error) (any, error) { return v, err }
