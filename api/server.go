package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Limits of the server.
const (
	maxBody   = 1 << 20 // bytes
	maxHeader = 64 << 10

	maxConnections = 256
	maxOthers      = 240 // of the connections, that are not root's
	maxWaiting     = 256 // of those that are not root's

	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 2 * time.Minute // from the end of the request's header, so the backend's work is in it
	idleTimeout       = 30 * time.Second
)

// Server offers a [Backend] as HTTP and JSON. It is an [http.Handler]; Serve and
// Shutdown run it on a listener.
type Server struct {
	log      *slog.Logger
	mux      *http.ServeMux
	http     *http.Server
	stopping chan struct{}
	full     atomic.Uint64
}

// NewServer returns a server for b that logs failures which are not the caller's.
func NewServer(b Backend, log *slog.Logger) *Server {
	s := &Server{log: log, mux: http.NewServeMux(), stopping: make(chan struct{})}
	strict := NewStrictHandlerWithOptions(operations{b}, []StrictMiddlewareFunc{checkRequest},
		StrictHTTPServerOptions{RequestErrorHandlerFunc: s.refuseBody, ResponseErrorHandlerFunc: s.refuse})
	HandlerWithOptions(strict, StdHTTPServerOptions{
		BaseRouter: s.mux, Middlewares: []MiddlewareFunc{s.oneObject}, ErrorHandlerFunc: s.refuse,
	})
	s.mux.HandleFunc(catchAll, func(w http.ResponseWriter, r *http.Request) { s.refuse(w, r, s.noRoute(r)) })
	s.http = &http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		ConnContext:                  WithPeer,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		DisableGeneralOptionsHandler: true,
	}
	s.http.RegisterOnShutdown(sync.OnceFunc(func() { close(s.stopping) }))
	return s
}

// Serve answers on l until Shutdown and then returns nil; it returns the error
// when l fails. It closes l.
func (s *Server) Serve(l net.Listener) error {
	notice := rate.Sometimes{Interval: time.Minute}
	limits := limits{all: maxConnections, others: maxOthers, queue: maxWaiting}
	err := s.http.Serve(newLimitListener(l, limits, peerOf, func() {
		s.full.Add(1)
		notice.Do(func() {
			s.log.Warn("further connections to the API wait, or are closed where too many wait: "+
				"as many are open as may be", "open", maxConnections, "not_of_root", maxOthers)
		})
	}))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Full is how often as many connections were open as may be, of root's and others' or of the
// others', so that further ones had to wait.
func (s *Server) Full() uint64 { return s.full.Load() }

// Shutdown takes no new requests and waits for those under way. When ctx ends
// first it cuts them off, which cancels their contexts, and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	return err
}

// Stopping returns a channel that Shutdown closes once the server takes no new
// connections, and ends each of the others with the answer that is under way. Who
// gets an answer after that reaches another server with the next request, or none.
func (s *Server) Stopping() <-chan struct{} { return s.stopping }

// ServeHTTP answers one request, always with JSON, the state or a problem document. A panic of
// the backend becomes one.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	a := &answer{ResponseWriter: w}
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("request panicked", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
			s.refuse(a, r, Internalf("internal error in %s %s: see the log of vswitchd", r.Method, r.URL.Path))
		}
	}()
	// The mux would answer these itself, with a redirect or an empty page.
	if p := r.URL.Path; r.RequestURI == "*" || !strings.HasPrefix(p, "/") || path.Clean(p) != p {
		s.refuse(a, r, unknownPath(r))
		return
	}
	s.mux.ServeHTTP(a, r)
}

// answer knows whether it has begun.
type answer struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

// rawContentType is that of a copy of the state.
const rawContentType = "application/octet-stream"

// encode writes JSON in which <, > and & take one byte each: no web page shows it.
func encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// refuseBody is refuse for what the generated code says of a body.
func (s *Server) refuseBody(w http.ResponseWriter, r *http.Request, err error) {
	s.refuse(w, r, bodyError(err))
}

// refuse answers with a problem document. Where an answer has begun the client has gone: there
// is nobody left to tell.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if a, ok := w.(*answer); ok && a.begun {
		return
	}
	err = requestError(r.URL, err)
	p := newProblem(err, r.URL.EscapedPath())
	if KindOf(err) == Internal {
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	if e, ok := errors.AsType[*methodError](err); ok {
		w.Header().Set("Allow", e.allow)
	}
	w.Header().Set("Content-Type", problemContentType)
	w.WriteHeader(p.Status)
	_ = encode(w, p)
}

// methodError carries the Allow header that RFC 9110 §15.5.6 demands of a 405.
type methodError struct{ allow string }

func (e *methodError) Error() string { return "want " + e.allow }

// catchAll is the pattern of what no route matches.
const catchAll = "/"

// noRoute tells a path that does not exist from one that lacks only the method.
func (s *Server) noRoute(r *http.Request) error {
	var allowed []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := s.mux.Handler(other); pattern != catchAll {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return unknownPath(r)
	}
	cause := &methodError{allow: strings.Join(allowed, ", ")}
	return errorf(MethodNotAllowed, "method %q is not for %q: %w", []any{clip(r.Method), clip(r.URL.Path), cause})
}

// otherVersion is the beginning of a path of another version of the interface.
var otherVersion = regexp.MustCompile(`^/(v[0-9]{1,9})(/|$)`)

func unknownPath(r *http.Request) error {
	if v := otherVersion.FindStringSubmatch(r.URL.Path); v != nil && v[1] != APIVersion {
		return NotFoundf("no route %q: this vswitchd has version %s of the API, not %s: "+
			"use a client of that version", clip(r.URL.Path), APIVersion, v[1])
	}
	return NotFoundf("no route %q: want one of openapi.yaml, such as /%s/segments", clip(r.URL.Path), APIVersion)
}

// sorted makes lists come in the same order each time, and an empty one as [].
func sorted[T any](list []T, compare ...func(a, b T) int) []T {
	out := append([]T{}, list...)
	slices.SortStableFunc(out, func(a, b T) int {
		for _, f := range compare {
			if c := f(a, b); c != 0 {
				return c
			}
		}
		return 0
	})
	return out
}
