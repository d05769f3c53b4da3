package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"sync"
	"testing"
)

// documentFile is where [Build] puts the API's document.
const documentFile = "openapi.yaml"

// loadDocument reads the API's document that [Build] has put beside the programs.
var loadDocument = sync.OnceValues(func() (*Document, error) {
	return LoadDocument(Program(documentFile))
})

// checked is a transport that fails the test for each exchange that is not as the document has
// it. What passes through is unchanged, errors included.
type checked struct {
	testing.TB
	document *Document
	next     http.RoundTripper
	reported sync.Map // what it has failed the test for
}

// RoundTrip implements [http.RoundTripper].
func (c *checked) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil { // as who asked will see: it is no answer
		response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), broken{err}))
		return response, nil
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	c.check(Exchange{
		Request: request, Sent: c.sent(request),
		Status: response.StatusCode, Header: response.Header, Body: body,
	})
	return response, nil
}

// CloseIdleConnections is for [http.Client.CloseIdleConnections].
func (c *checked) CloseIdleConnections() {
	if closer, ok := c.next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// sent returns the body of a request that has been sent.
func (c *checked) sent(request *http.Request) []byte {
	if request.GetBody == nil {
		return nil
	}
	body, err := request.GetBody()
	if err != nil {
		c.Error(err)
		return nil
	}
	defer body.Close()
	sent, err := io.ReadAll(body)
	if err != nil {
		c.Error(err)
	}
	return sent
}

// check reports a fault once, for tests ask the same again and again.
func (c *checked) check(e Exchange) {
	err := c.document.Check(e)
	if err == nil {
		return
	}
	fault := fmt.Sprintf("%s %s: not as api/openapi.yaml has it: %v",
		e.Request.Method, e.Request.URL.RequestURI(), err)
	if _, known := c.reported.LoadOrStore(fault, true); !known {
		c.Error(fault)
	}
}

// broken is the end of a body that did not come whole.
type broken struct{ error }

func (b broken) Read([]byte) (int, error) { return 0, b.error }

// check has what passes through a transport held against the API's document.
func (h *Host) check(next http.RoundTripper) http.RoundTripper {
	h.Helper()
	document, err := loadDocument()
	if err != nil {
		h.Fatal(err)
	}
	return &checked{TB: h.TB, document: document, next: next}
}

// CheckedSocket returns a socket by which another program reaches the daemon, and on which what
// they exchange is held against the API's document. Where nothing serves on [Host.Socket] it
// returns that, so that the program meets what its users would.
func (h *Host) CheckedSocket() string {
	h.Helper()
	c, err := net.Dial("unix", h.Socket)
	if err != nil {
		return h.Socket
	}
	c.Close()
	h.proxied.Do(func() { h.proxy = serveProxy(h.TB, h.Socket, h.check) })
	return h.proxy
}

// serveProxy passes requests on to a socket until the test ends, through what wrap makes of its
// transport, and returns its own socket. It closes the connection of a request that gets no
// answer, as a daemon does that dies.
func serveProxy(
	tb testing.TB, to string, wrap func(http.RoundTripper) http.RoundTripper,
) (socket string) {
	tb.Helper()
	socket = filepath.Join(ShortDir(tb), "checked.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		tb.Fatal(err)
	}
	server := &http.Server{Handler: &httputil.ReverseProxy{
		Transport: wrap(&http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", to)
			},
			DisableKeepAlives: true, DisableCompression: true, // as one run of the program
		}),
		Rewrite:  rewrite,
		ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler)
		},
	}}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		err := server.Shutdown(ctx) // waits for the requests under way
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		if err != nil {
			tb.Error(fmt.Errorf("serve the proxy of the API: %w", err))
		}
	})
	return socket
}

// rewrite makes the request that the daemon gets, with a body that can be read again.
func rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme, p.Out.URL.Host = "http", "vswitchd"
	body, err := io.ReadAll(p.In.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // its sender has gone
	}
	if len(body) == 0 {
		return
	}
	p.Out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	p.Out.Body, _ = p.Out.GetBody()
}
