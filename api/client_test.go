package api_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/api/apitest"
	"vswitch/internal/control/controltest"
)

func client(t *testing.T, socket string, timeout time.Duration) *api.Client {
	t.Helper()
	c := api.NewSocketClient(socket, timeout)
	t.Cleanup(c.Close)
	return c
}

// listing is a backend that lists segments, and does nothing else.
type listing struct {
	api.Backend
	list func(context.Context) ([]api.Segment, error)
}

func (b listing) Segments(ctx context.Context) ([]api.Segment, error) { return b.list(ctx) }

// A client of a server of a backend gives what the backend gives.
func TestClientIsTheBackend(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	direct := controltest.New(t, "c")
	remote := client(t, apitest.Serve(t, controltest.New(t, "c")), 0)
	up, value, name, mac := false, "v", "two", macOf("02:00:00:00:00:02")
	steps := map[string]func(api.Backend) (any, error){
		"01 version": func(b api.Backend) (any, error) { return b.Version(ctx) },
		"02 add segment": func(b api.Backend) (any, error) {
			return b.AddSegment(ctx, api.SegmentSpec{Name: "s", MTU: 9000, Uplink: api.UplinkNone})
		},
		"03 same again": func(b api.Backend) (any, error) { return b.AddSegment(ctx, api.SegmentSpec{Name: "s"}) },
		"04 segment":    func(b api.Backend) (any, error) { return b.Segment(ctx, "s") },
		"05 add port": func(b api.Backend) (any, error) {
			return b.AddPort(ctx, api.PortSpec{Name: "p", Segment: "s", NetNS: "c", IfName: "eth0"})
		},
		"06 ports": func(b api.Backend) (any, error) { return b.Ports(ctx, "s") },
		"07 update port": func(b api.Backend) (any, error) {
			return b.UpdatePort(ctx, "p", api.PortUpdate{
				Name: &name, MAC: &mac, Up: &up, Labels: map[string]*string{"k": &value},
			})
		},
		"08 port": func(b api.Backend) (any, error) { return b.Port(ctx, "two") },
		"09 add entry": func(b api.Backend) (any, error) {
			return b.AddFDB(ctx, "s", api.FDBSpec{MAC: macOf("02:00:00:00:00:01"), Port: "two"})
		},
		"10 entries":        func(b api.Backend) (any, error) { return b.FDB(ctx, "s") },
		"11 bindings":       func(b api.Backend) (any, error) { return b.ARP(ctx, "s") },
		"12 flush":          func(b api.Backend) (any, error) { return b.FlushFDB(ctx, "s", api.FDBFlush{}) },
		"13 delete entry":   func(b api.Backend) (any, error) { return b.DeleteFDB(ctx, "s", macOf("02:00:00:00:00:01")) },
		"14 still used":     func(b api.Backend) (any, error) { return b.DeleteSegment(ctx, "s", false) },
		"15 delete port":    func(b api.Backend) (any, error) { return b.DeletePort(ctx, "two") },
		"16 delete segment": func(b api.Backend) (any, error) { return b.DeleteSegment(ctx, "s", true) },
		"17 no such":        func(b api.Backend) (any, error) { return b.Port(ctx, "none") },
		"18 no such entry":  func(b api.Backend) (any, error) { return b.DeleteFDB(ctx, "bridge", macOf("02:00:00:00:00:01")) },
	}
	for _, step := range slices.Sorted(maps.Keys(steps)) {
		want, wantErr := steps[step](direct)
		got, err := steps[step](remote)
		if (err == nil) != (wantErr == nil) || err != nil && (err.Error() != wantErr.Error() || api.KindOf(err) != api.KindOf(wantErr)) {
			t.Errorf("%s: got error %v, want %v", step, err, wantErr)
		}
		if got, want := withoutTimes(got), withoutTimes(want); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", step, got, want)
		}
	}
	in, err := remote.Inspect(ctx, "bridge")
	if err != nil || in.Name != "bridge" || len(in.IPAM.Config) != 1 {
		t.Errorf("inspect: got %+v, %v", in, err)
	}
}

// withoutTimes returns an answer without the times at which two backends did the same.
func withoutTimes(v any) any {
	switch v := v.(type) {
	case api.Segment:
		v.Created = time.Time{}
		return v
	case api.Port:
		v.Created, v.Counters.Since = time.Time{}, time.Time{}
		return v
	case []api.Port:
		for i := range v {
			v[i] = withoutTimes(v[i]).(api.Port)
		}
		return v
	}
	return v
}

// countingTransport counts the requests that pass through it.
type countingTransport struct {
	http.RoundTripper
	requests *int
}

func (c countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	*c.requests++
	return c.RoundTripper.RoundTrip(r)
}

// What a client's caller wraps its transport in sees each request, and changes nothing else.
func TestClientWithTransport(t *testing.T) {
	t.Parallel()
	requests := 0
	count := func(next http.RoundTripper) http.RoundTripper { return countingTransport{next, &requests} }
	socket := apitest.Serve(t, controltest.New(t))
	c := api.NewSocketClient(socket, 0, api.WithTransport(count))
	defer c.Close()
	if _, err := c.Version(t.Context()); err != nil {
		t.Error(err)
	}
	none := api.NewSocketClient(socket+".none", 0, api.WithTransport(count))
	if _, err := none.Version(t.Context()); api.KindOf(err) != api.Unavailable || !strings.Contains(err.Error(), "cannot reach") {
		t.Errorf("got %v, want that the daemon cannot be reached", err)
	}
	if requests != 2 {
		t.Errorf("%d requests passed, want 2", requests)
	}
}

func TestClientKeepsRefsInTheirPlace(t *testing.T) {
	t.Parallel()
	c := client(t, apitest.Serve(t, controltest.New(t)), 0)
	for _, ref := range []string{"", "..", ".", "a/b", "bridge?force=true", "bridge#", "a b", "%2e%2e"} {
		if _, err := c.DeleteSegment(context.Background(), ref, false); api.KindOf(err) != api.Invalid {
			t.Errorf("DeleteSegment(%q): got %v", ref, err)
		}
	}
}

func TestClientCannotReach(t *testing.T) {
	t.Parallel()
	missing := apitest.Socket(t)
	file := filepath.Join(filepath.Dir(missing), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		missing: "no such file or directory",
		file:    "connection refused",
	} {
		_, err := client(t, path, time.Minute).Segments(context.Background())
		if want := "cannot reach vswitchd on " + path + ": " + want; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, ok := errors.AsType[*api.UnreachableError](err); !ok || api.KindOf(err) != api.Unavailable {
			t.Errorf("%v is not an UnreachableError of kind unavailable", err)
		}
	}
	if _, err := client(t, missing, 0).Segments(context.Background()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not unwrap to the reason", err)
	}
}

func answer(head, body string) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 4096)
		if _, err := c.Read(buf); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 "+head+"\r\nConnection: close\r\n\r\n"+body)
	}
}

func TestClientOfAHostileServer(t *testing.T) {
	t.Parallel()
	const isJSON, isProblem = "\r\nContent-Type: application/json", "\r\nContent-Type: application/problem+json"
	tests := map[string]struct {
		serve func(net.Conn)
		kind  api.Kind
		want  string
	}{
		"closes":        {func(net.Conn) {}, api.Unavailable, ""},
		"garbage":       {func(c net.Conn) { _, _ = io.WriteString(c, "\x00\xffhello\n\n") }, api.Unavailable, "asking vswitchd"},
		"not JSON":      {answer("200 OK"+isJSON, "<html>"), api.Internal, "JSON of another shape"},
		"other shape":   {answer("200 OK"+isJSON, `{"id":1}`), api.Internal, "JSON of another shape"},
		"trailing":      {answer("200 OK"+isJSON, `[] []`), api.Internal, "JSON of another shape"},
		"web page":      {answer("200 OK\r\nContent-Type: text/html", "<html>"), api.Internal, `content type "text/html"`},
		"bare status":   {answer("502 Bad Gateway", "oops"), api.Internal, "answered 502 Bad Gateway without a problem document"},
		"empty problem": {answer("500 X"+isProblem, "{}"), api.Internal, "without a problem document"},
		"redirect":      {answer("302 Found\r\nLocation: http://example.com/", ""), api.Internal, "answered 302 Found"},
		"cut off":       {answer("200 OK\r\nContent-Length: 99"+isJSON, "["), api.Unavailable, "without a whole answer"},
		"newer kind":    {answer("409 Conflict"+isProblem, `{"type":"urn:vswitch:problem:sleepy","detail":"d"}`), api.Conflict, "d"},
		"foreign type":  {answer("404 Not Found"+isProblem, `{"type":"about:blank","title":"gone"}`), api.NotFound, "gone"},
		"contradiction": {answer("404 Not Found"+isProblem, `{"type":"urn:vswitch:problem:invalid","detail":"d"}`), api.NotFound, "d"},
		"huge header":   {answer("200 OK\r\nX: "+strings.Repeat("x", 1<<17), "[]"), api.Unavailable, "asking vswitchd"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := client(t, apitest.ServeRaw(t, test.serve), time.Minute).Segments(context.Background())
			if err == nil || api.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v of kind %s, want %q of kind %s", err, api.KindOf(err), test.want, test.kind)
			}
		})
	}
}

func TestClientBoundsTheAnswer(t *testing.T) {
	t.Parallel()
	path := apitest.ServeRaw(t, func(c net.Conn) {
		answer("200 OK\r\nContent-Type: application/json", "[")(c)
		spaces := strings.Repeat(" ", 1<<20)
		for {
			if _, err := io.WriteString(c, spaces); err != nil {
				return // the client had enough
			}
		}
	})
	_, err := client(t, path, time.Minute).Segments(context.Background())
	if err == nil || !strings.Contains(err.Error(), "is over 67108864 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestClientTimesOutAndCancels(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 2)
	path := apitest.Serve(t, listing{list: func(ctx context.Context) ([]api.Segment, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	_, err := client(t, path, time.Millisecond).Segments(context.Background())
	if want := "vswitchd on " + path + " did not answer within 1ms"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-entered; cancel() }()
	if _, err := client(t, path, 0).Segments(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a cancellation", err)
	}
}

// Shutdown lets a request under way finish, and then Serve returns nil.
func TestShutdownIsGraceful(t *testing.T) {
	t.Parallel()
	entered, goOn := make(chan struct{}), make(chan struct{})
	path := apitest.Socket(t)
	server := api.NewServer(listing{list: func(context.Context) ([]api.Segment, error) {
		close(entered)
		<-goOn
		return nil, nil
	}}, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	l := listen(t, path)
	go func() { served <- server.Serve(l) }()
	asked := make(chan error, 1)
	go func() {
		_, err := client(t, path, 0).Segments(context.Background())
		asked <- err
	}()
	<-entered
	down := make(chan error, 1)
	go func() { down <- server.Shutdown(context.Background()) }()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	close(goOn)
	if err := <-asked; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Of more connections than the limit all are answered in the end.
func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	t.Parallel()
	path := apitest.Serve(t, controltest.New(t))
	idle := make([]net.Conn, 256)
	for i := range idle {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		idle[i] = c
	}
	answered := make(chan error, 1)
	go func() {
		_, err := client(t, path, 0).Segments(context.Background())
		answered <- err
	}()
	for _, c := range idle {
		c.Close()
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestErrorUnwraps(t *testing.T) {
	t.Parallel()
	err := api.NotFoundf("opening: %w", fs.ErrNotExist)
	if !errors.Is(err, fs.ErrNotExist) || err.Error() != "opening: file does not exist" {
		t.Errorf("got %v", err)
	}
	if api.Kind("unheard-of").Status() != http.StatusInternalServerError {
		t.Error("an unknown kind is not an internal error")
	}
}

func TestBuildVersion(t *testing.T) {
	t.Parallel()
	if v := api.BuildVersion("v1.2.3"); v.Version != "v1.2.3" || v.API != "v1" || !strings.HasPrefix(v.GoVersion, "go") {
		t.Errorf("got %+v", v)
	}
	if v := api.BuildVersion(""); v.Version == "" {
		t.Errorf("got %+v", v)
	}
}
