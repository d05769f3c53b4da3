package api_test

import (
	"encoding/json"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/internal/control/controltest"
	"vswitch/internal/control/kernel/kerneltest"
)

// FuzzServer checks that whatever is asked, the answer is JSON or a problem
// document whose status is the response's.
func FuzzServer(f *testing.F) {
	for _, test := range operationTests {
		method, _, _ := strings.Cut(test.operation, " ")
		f.Add(method, test.path, test.body)
	}
	f.Add("GET", "/v1/ports?segment=%zz", "")
	f.Add("CONNECT", "/v1/../v1/ports", "null")
	f.Add("OPTIONS", "*", "")
	f.Fuzz(func(t *testing.T, method, target, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{
			Method: method, URL: u, RequestURI: target, Host: "vswitchd", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{}, Body: http.NoBody,
		}
		if body != "" {
			r.Body = readCloser{strings.NewReader(body)}
		}
		b := controltest.New(t, "c", "c1", "c3")
		rec := httptest.NewRecorder()
		api.NewServer(upgradable{b}, slog.New(slog.DiscardHandler)).ServeHTTP(rec, r)
		contentType, _, _ := mime.ParseMediaType(rec.Header().Get("Content-Type"))
		want := "application/json"
		if rec.Code >= 400 {
			want = "application/problem+json"
		}
		valid := json.Valid(rec.Body.Bytes())
		if rec.Code == http.StatusOK && u.Path == "/v1/backup" {
			want, valid = "application/octet-stream", rec.Body.String() == kerneltest.BackupText
		}
		if contentType != want || !valid {
			t.Fatalf("%q %q: got %d %s %q", method, target, rec.Code, contentType, rec.Body)
		}
		if rec.Code == http.StatusInternalServerError {
			t.Fatalf("%q %q %q: %s", method, target, body, rec.Body)
		}
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
