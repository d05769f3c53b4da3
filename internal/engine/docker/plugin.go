package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"vswitch/api"
)

// Limits of what dockerd may ask for.
const (
	maxBody   = 1 << 20 // bytes
	maxHeader = 64 << 10

	// answerTimeout is how long a request may take. dockerd itself would wait forever
	// and hold locks meanwhile.
	answerTimeout = 20 * time.Second
	readTimeout   = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	stopTimeout   = 500 * time.Millisecond
)

// contentType is that of answers, of moby's pkg/plugins.
const contentType = "application/vnd.docker.plugins.v1.2+json"

// Options say what a [Plugin] works on.
type Options struct {
	Backend api.Backend
	Pools   api.Pools // of the same switch
	Log     *slog.Logger
}

// Plugin answers dockerd's requests. It is an [http.Handler]; Serve runs it on a
// listener.
type Plugin struct {
	backend api.Backend
	pools   api.Pools
	log     *slog.Logger
	timeout time.Duration
	methods map[string]method
	calls   sync.WaitGroup // methods under way, also those that nobody waits for
}

// method answers one kind of request, whose body is JSON or empty.
type method func(ctx context.Context, body []byte) (any, error)

// New makes a plugin.
func New(o Options) *Plugin {
	p := &Plugin{backend: api.Checked(o.Backend), pools: api.CheckedPools(o.Pools), log: o.Log, timeout: answerTimeout}
	p.methods = p.networkMethods()
	maps.Copy(p.methods, p.ipamMethods())
	p.methods["/Plugin.Activate"] = on(func(context.Context, done) (any, error) {
		return implements{[]string{"NetworkDriver", "IpamDriver"}}, nil
	})
	return p
}

// networkMethods are those of the network driver.
func (p *Plugin) networkMethods() map[string]method {
	return map[string]method{
		"/NetworkDriver.GetCapabilities": on(func(context.Context, done) (any, error) {
			return capabilities{Scope: "local", ConnectivityScope: "local"}, nil
		}),
		"/NetworkDriver.CreateNetwork":               on(p.createNetwork),
		"/NetworkDriver.DeleteNetwork":               on(p.deleteNetwork),
		"/NetworkDriver.CreateEndpoint":              on(p.createEndpoint),
		"/NetworkDriver.DeleteEndpoint":              on(p.deleteEndpoint),
		"/NetworkDriver.EndpointOperInfo":            on(p.operInfo),
		"/NetworkDriver.Join":                        on(p.join),
		"/NetworkDriver.Leave":                       on(p.leave),
		"/NetworkDriver.ProgramExternalConnectivity": on(p.publish),
		"/NetworkDriver.RevokeExternalConnectivity":  on(p.unpublish),
		"/NetworkDriver.DiscoverNew":                 nothing,
		"/NetworkDriver.DiscoverDelete":              nothing,
	}
}

// nothing is the method for what needs none.
func nothing(context.Context, []byte) (any, error) { return done{}, nil }

// on makes a method of a function with a typed request.
func on[T any](f func(context.Context, T) (any, error)) method {
	return func(ctx context.Context, body []byte) (any, error) {
		var request T
		if _, bare := any(request).(done); !bare && len(body) == 0 {
			// dockerd repeats what was cut off, but has lost what it said (moby's
			// pkg/plugins/client.go).
			return nil, errors.New("request without a body: vswitchd was replaced while it was under way: try again")
		}
		if len(body) > 0 {
			if err := json.Unmarshal(body, &request); err != nil {
				return nil, fmt.Errorf("request: %w: want JSON of the plugin protocol", err)
			}
		}
		return f(ctx, request)
	}
}

// Serve answers on l until ctx ends, and closes l. The error is that of l.
func (p *Plugin) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: p, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		WriteTimeout: p.timeout + readTimeout, ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
		ConnContext: api.WithPeer,
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(l)
	if !stop() {
		<-stopped
	}
	p.calls.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve Docker's plugin socket: %w", err)
}

// ServeHTTP answers one request. A failure has status 200 and tells its reason in
// the field that the driver's interface has for it; an unknown method is 404, by
// which dockerd knows that the driver does not have it.
func (p *Plugin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m, known := p.methods[r.URL.Path]
	if !known || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	begun := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var answer any
	if err != nil {
		err = fmt.Errorf("request: %w: want at most %d bytes", err, maxBody)
	} else {
		answer, err = p.call(r.Context(), r.URL.Path, m, body)
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	p.log.Debug("request of Docker answered", "method", name, "took", time.Since(begun))
	if err != nil {
		p.log.Warn("request of Docker refused", "method", name, "error", err)
		answer = failure(r.URL.Path, err)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(append(text, '\n')) // a failure means that dockerd has gone
}

// failure is the answer that tells of err: the two interfaces have different fields.
func failure(path string, err error) any {
	if strings.HasPrefix(path, "/IpamDriver.") {
		return struct{ Error string }{err.Error()}
	}
	return struct{ Err string }{err.Error()}
}

// call runs a method, but waits for it no longer than the timeout, or than dockerd
// does. A method that creates something takes it back when nobody waits any more.
func (p *Plugin) call(ctx context.Context, path string, m method, body []byte) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	type result struct {
		answer any
		err    error
	}
	results := make(chan result, 1)
	p.calls.Go(func() {
		defer cancel()
		var r result
		defer func() { results <- r }()
		defer func() {
			if v := recover(); v != nil {
				p.log.Error("request of Docker panicked", "method", path, "panic", v, "stack", string(debug.Stack()))
				r = result{err: errors.New("internal error: see the log of vswitchd")}
			}
		}()
		r.answer, r.err = m(ctx, body)
	})
	select {
	case r := <-results:
		return r.answer, r.err
	case <-ctx.Done():
		select {
		case r := <-results: // both at once: the answer counts
			return r.answer, r.err
		default:
		}
		return nil, fmt.Errorf("vswitchd has not done it within %s: see its log", p.timeout)
	}
}
