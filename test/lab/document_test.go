package lab

import (
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/api/apitest"
	"vswitch/internal/control/controltest"
)

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
)

func document(t *testing.T) *Document {
	t.Helper()
	d, err := LoadDocument("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDocumentTakesAndRefuses(t *testing.T) {
	t.Parallel()
	d := document(t)
	binding := func(rest string) string {
		return `[{"segment":"bridge","ip":"172.17.0.1","mac":"02:42:ac:11:00:01","port":"gateway",` + rest + `}]`
	}
	problem := func(kind, status, instance string) string {
		return `{"type":"urn:vswitch:problem:` + kind + `","title":"t","status":` + status +
			`,"detail":"d","instance":"` + instance + `"}`
	}
	for name, test := range map[string]struct {
		request, sent string
		status        int
		contentType   string
		body          string
		want          string // in the error; empty: none
	}{
		"right":                {"GET /v1/arp", "", 200, jsonType, binding(`"kind":"port"`), ""},
		"another kind":         {"GET /v1/arp", "", 200, jsonType, binding(`"kind":"static"`), `/0/kind: value is not one of the allowed values ["port","gateway"]: "static"`},
		"one field too many":   {"GET /v1/arp", "", 200, jsonType, binding(`"kind":"port","age":1`), `property "age" is unsupported`},
		"one field too few":    {"GET /v1/arp", "", 200, jsonType, `[{}]`, `property "segment" is missing`},
		"null":                 {"GET /v1/arp", "", 200, jsonType, `null`, `not nullable`},
		"another status":       {"GET /v1/arp", "", 201, jsonType, `[]`, `answers 201`},
		"another type":         {"GET /v1/arp", "", 200, "text/plain", `[]`, `Content-Type`},
		"no JSON":              {"GET /v1/arp", "", 200, jsonType, `[`, `failed to decode`},
		"no time":              {"GET /v1/pools", "", 200, jsonType, `[{"created":"today"}]`, `/0/created`},
		"a field deep down":    {"GET /v1/segments/s/inspect", "", 200, jsonType, `{"IPAM":{"Colour":1}}`, `property "Colour" is unsupported`},
		"no location":          {"POST /v1/segments", `{"name":"s"}`, 201, jsonType, `{}`, `"Location" missing`},
		"a refusal":            {"GET /v1/ports/p", "", 404, problemType, problem("not-found", "404", "/v1/ports/p"), ""},
		"a refusal as JSON":    {"GET /v1/ports/p", "", 404, jsonType, problem("not-found", "404", "/v1/ports/p"), `Content-Type`},
		"an unknown kind":      {"GET /v1/ports/p", "", 404, problemType, problem("lost", "404", "/v1/ports/p"), `/type`},
		"a contradiction":      {"GET /v1/ports/p", "", 404, problemType, problem("conflict", "404", "/v1/ports/p"), `answers 404 by a problem urn:vswitch:problem:conflict`},
		"another instance":     {"GET /v1/ports/p", "", 404, problemType, problem("not-found", "404", "/v1/ports"), `problem of "/v1/ports"`},
		"an unknown path":      {"GET /v1/x", "", 404, problemType, problem("not-found", "404", "/v1/x"), ""},
		"an unknown path, yes": {"GET /v1/x", "", 200, jsonType, `{}`, `no such operation`},
		"a method":             {"PUT /v1/arp", "", 405, problemType, problem("method-not-allowed", "405", "/v1/arp"), ""},
		"a wrong request":      {"POST /v1/segments", `{"nam":"s"}`, 400, problemType, problem("invalid", "400", "/v1/segments"), ""},
		"a wrong one is taken": {"POST /v1/segments/s/fdb/flush", `{"prt":"s"}`, 200, jsonType, `{"flushed":0}`, `accepts a request that the document refuses`},
		"its query is taken":   {"DELETE /v1/segments/s?force=perhaps", "", 200, jsonType, `{}`, `parameter "force" in query`},
	} {
		method, target, _ := strings.Cut(test.request, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, "http://vswitchd"+target, strings.NewReader(test.sent))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", jsonType)
		err = d.Check(Exchange{
			Request: r, Sent: []byte(test.sent), Status: test.status,
			Header: http.Header{"Content-Type": {test.contentType}}, Body: []byte(test.body),
		})
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want an error with %q", name, err, test.want)
		case err != nil && strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: not one line: %v", name, err)
		}
	}
}

// serveRaw answers each request on a socket with a whole response.
func serveRaw(t *testing.T, response string) string {
	t.Helper()
	return apitest.ServeRaw(t, func(c net.Conn) {
		buffer := make([]byte, 4096)
		if _, err := c.Read(buffer); err == nil {
			_, _ = io.WriteString(c, response)
		}
	})
}

// What passes the check is as it would be without, for a client and by the proxy, and each fault
// fails its test once.
func TestCheckedChangesNothing(t *testing.T) {
	t.Parallel()
	const undocumented = `{"version":"v1.0","go_version":"go1.26","api":"v1","colour":"red"}`
	answer := func(length string) string {
		return "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: " +
			length + "\r\n\r\n" + undocumented
	}
	for name, test := range map[string]struct{ socket, err, fault string }{
		"a daemon":              {apitest.Serve(t, controltest.New(t)), "", ""},
		"none":                  {filepath.Join(t.TempDir(), "none"), "no such file or directory", ""},
		"an undocumented field": {serveRaw(t, answer("66")), "", `GET /v1/version: not as api/openapi.yaml has it: answers 200: `},
		"half an answer":        {serveRaw(t, answer("99")), "closed the connection without a whole answer", ""},
	} {
		r := record(func(tb testing.TB) {
			client := api.NewSocketClient(test.socket, Patience, api.WithTransport(check(t, tb)))
			defer client.Close()
			compare(t, name, test.socket, client, test.err)
		})
		wantFaults(t, name, r, test.fault)
		if test.err != "" {
			continue // the error names the socket, or connecting to the proxy succeeds
		}
		r = record(func(tb testing.TB) {
			client := api.NewSocketClient(serveProxy(tb, test.socket, check(t, tb)), Patience)
			defer client.Close()
			compare(t, name+" by the proxy", test.socket, client, test.err)
		})
		wantFaults(t, name+" by the proxy", r, test.fault)
	}
}

// check is [Host.check] for tb.
func check(t *testing.T, tb testing.TB) func(http.RoundTripper) http.RoundTripper {
	d := document(t)
	return func(next http.RoundTripper) http.RoundTripper {
		return &checked{TB: tb, document: d, next: next}
	}
}

// compare wants twice the answer, or the error, that a client without a check gets.
func compare(t *testing.T, name, socket string, client *api.Client, wantText string) {
	t.Helper()
	bare := api.NewSocketClient(socket, Patience)
	defer bare.Close()
	for range 2 {
		want, wantErr := bare.Version(t.Context())
		got, err := client.Version(t.Context())
		if got != want || api.KindOf(err) != api.KindOf(wantErr) {
			t.Errorf("%s: got %v, %v; without the check %v, %v", name, got, err, want, wantErr)
		}
		if wantText != "" && (err == nil || err.Error() != wantErr.Error() || !strings.Contains(err.Error(), wantText)) {
			t.Errorf("%s: got error %v, want %v", name, err, wantErr)
		}
		_, unreachable := errors.AsType[*api.UnreachableError](err)
		if _, want := errors.AsType[*api.UnreachableError](wantErr); unreachable != want {
			t.Errorf("%s: got error %#v, want %#v", name, err, wantErr)
		}
	}
}

// wantFaults wants one message that begins so, or none.
func wantFaults(t *testing.T, name string, r *recorder, fault string) {
	t.Helper()
	if len(r.messages) > 1 || (fault == "") != (r.said() == "") || !strings.HasPrefix(r.said(), fault) {
		t.Errorf("%s: the test says %q, want %q", name, r.messages, fault)
	}
}

// Who asks by the proxy while the daemon dies gets no answer.
func TestProxyOfADaemonThatDies(t *testing.T) {
	t.Parallel()
	r := record(func(tb testing.TB) {
		client := api.NewSocketClient(serveProxy(tb, serveRaw(t, ""), check(t, tb)), Patience)
		defer client.Close()
		if _, err := client.AddSegment(t.Context(), api.SegmentSpec{Name: "s"}); err == nil ||
			!strings.Contains(err.Error(), "closed the connection without a whole answer") {
			t.Errorf("got %v, want that the connection was closed", err)
		}
	})
	wantFaults(t, "no answer", r, "")
}
