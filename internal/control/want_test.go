package control

import (
	"fmt"
	"slices"
	"strings"

	"vswitch/api"
)

// portShown is what the API tells of a port's state, and why.
func (w *world) portShown(c *Control, name string) string {
	w.Helper()
	p, err := c.Port(w.Context(), name)
	if err != nil {
		return err.Error()
	}
	if p.Reason != "" {
		return fmt.Sprintf("%s: %s", p.State, p.Reason)
	}
	return string(p.State)
}

// wantPortShown wants the API to tell that of a port.
func (w *world) wantPortShown(c *Control, name, want string) {
	w.Helper()
	if got := w.portShown(c, name); got != want {
		w.Errorf("port %s is %q, want %q", name, got, want)
	}
}

// wantBound wants the segment to answer ARP for an address with a MAC; empty: not at all.
func (w *world) wantBound(c *Control, ip, want string) {
	w.Helper()
	list, err := c.ARP(w.Context(), "")
	if err != nil {
		w.Fatal(err)
	}
	got := ""
	for _, b := range list {
		if b.IP == addr(ip) {
			got = b.MAC.String()
		}
	}
	if got != want {
		w.Errorf("%s is answered for with %q, want %q", ip, got, want)
	}
}

// wantLog wants the log to have a line with all these parts.
func (w *world) wantLog(parts ...string) {
	w.Helper()
	if !w.has(parts...) {
		w.Errorf("no line with %q is in the log:\n%s", parts, w.log.String())
	}
}

// wantLinks wants there to be these links, of each namespace.
func (w *world) wantLinks(want ...string) {
	w.Helper()
	slices.Sort(want)
	if got := w.AllLinks(); !slices.Equal(got, want) {
		w.Errorf("the links are %q, want %q", got, want)
	}
}

// wantError wants an error of a kind, whose message has all these parts.
func (w *world) wantError(err error, kind api.Kind, parts ...string) {
	w.Helper()
	if api.KindOf(err) != kind || err == nil {
		w.Errorf("the error is %v, of kind %v, want %v", err, api.KindOf(err), kind)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			w.Errorf("the error is %q, want it to say %q", err, p)
		}
	}
}
