package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
)

type route struct {
	method, path string
	handler      handler
}

// routes is the whole interface; openapi.yaml describes the same.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/v1/version", s.version},
		{"POST", "/v1/upgrade", s.upgrade},
		{"GET", "/v1/backup", s.backup},
		{"GET", "/v1/segments", s.listSegments},
		{"POST", "/v1/segments", s.addSegment},
		{"GET", "/v1/segments/{segment}", s.segment},
		{"PATCH", "/v1/segments/{segment}", s.updateSegment},
		{"DELETE", "/v1/segments/{segment}", s.deleteSegment},
		{"GET", "/v1/segments/{segment}/inspect", s.inspectSegment},
		{"GET", "/v1/ports", s.listPorts},
		{"POST", "/v1/ports", s.addPort},
		{"GET", "/v1/ports/{port}", s.port},
		{"PATCH", "/v1/ports/{port}", s.updatePort},
		{"DELETE", "/v1/ports/{port}", s.deletePort},
		{"GET", "/v1/published", s.listPublished},
		{"POST", "/v1/ports/{port}/published", s.publish},
		{"DELETE", "/v1/ports/{port}/published", s.unpublish},
		{"GET", "/v1/fdb", s.listFDB},
		{"POST", "/v1/segments/{segment}/fdb", s.addFDB},
		{"DELETE", "/v1/segments/{segment}/fdb/{mac}", s.deleteFDB},
		{"POST", "/v1/segments/{segment}/fdb/flush", s.flushFDB},
		{"GET", "/v1/rules", s.listRules},
		{"POST", "/v1/segments/{segment}/rules", s.addRule},
		{"DELETE", "/v1/segments/{segment}/rules/{rule}", s.deleteRule},
		{"GET", "/v1/arp", s.listARP},
		{"GET", "/v1/pools", s.listPools},
		{"DELETE", "/v1/pools/{pool}", s.reclaimPool},
	}
}

func (s *Server) version(r *http.Request) (reply, error) {
	if _, err := query(r); err != nil {
		return reply{}, err
	}
	return ok(s.backend.Version(r.Context()))
}

func (s *Server) upgrade(r *http.Request) (reply, error) {
	if _, err := query(r); err != nil {
		return reply{}, err
	}
	spec, err := decode(r, UpgradeSpec.validate)
	if err != nil {
		return reply{}, err
	}
	before, err := s.backend.Version(r.Context())
	if err != nil {
		return reply{}, err
	}
	return ok(before, s.backend.Upgrade(r.Context(), spec.Binary))
}

func (s *Server) backup(r *http.Request) (reply, error) {
	if _, err := query(r); err != nil {
		return reply{}, err
	}
	var copied bytes.Buffer
	err := s.backend.Backup(r.Context(), &copied)
	return ok(rawBody(copied.Bytes()), err)
}

func (s *Server) listSegments(r *http.Request) (reply, error) {
	if _, err := query(r); err != nil {
		return reply{}, err
	}
	list, err := s.backend.Segments(r.Context())
	return ok(sorted(list,
		func(a, b Segment) int { return a.Created.Compare(b.Created) },
		func(a, b Segment) int { return cmp.Compare(a.Name, b.Name) }), err)
}

func (s *Server) addSegment(r *http.Request) (reply, error) {
	spec, err := decode(r, SegmentSpec.validate)
	if err != nil {
		return reply{}, err
	}
	segment, err := s.backend.AddSegment(r.Context(), spec)
	return created("/v1/segments/"+segment.ID, segment, err)
}

func (s *Server) segment(r *http.Request) (reply, error) {
	ref, _, err := target(r, "segment")
	if err != nil {
		return reply{}, err
	}
	return ok(s.backend.Segment(r.Context(), ref))
}

func (s *Server) updateSegment(r *http.Request) (reply, error) {
	ref, _, err := target(r, "segment")
	if err != nil {
		return reply{}, err
	}
	update, err := decode(r, SegmentUpdate.validate)
	if err != nil {
		return reply{}, err
	}
	return ok(s.backend.UpdateSegment(r.Context(), ref, update))
}

func (s *Server) deleteSegment(r *http.Request) (reply, error) {
	ref, q, err := target(r, "segment", "force")
	if err != nil {
		return reply{}, err
	}
	force := false
	if v := q.Get("force"); v != "" {
		if force, err = strconv.ParseBool(v); err != nil {
			return reply{}, Invalidf("force %q: want true or false", clip(v))
		}
	}
	return ok(s.backend.DeleteSegment(r.Context(), ref, force))
}

func (s *Server) inspectSegment(r *http.Request) (reply, error) {
	ref, _, err := target(r, "segment")
	if err != nil {
		return reply{}, err
	}
	segment, err := s.backend.Segment(r.Context(), ref)
	if err != nil {
		return reply{}, err
	}
	ports, err := s.backend.Ports(r.Context(), segment.ID)
	return ok(NewInspect(segment, ports), err)
}

func (s *Server) listPorts(r *http.Request) (reply, error) {
	segment, err := filter(r)
	if err != nil {
		return reply{}, err
	}
	list, err := s.backend.Ports(r.Context(), segment)
	for i := range list {
		list[i] = complete(list[i])
	}
	return ok(sorted(list,
		func(a, b Port) int { return a.Created.Compare(b.Created) },
		func(a, b Port) int { return cmp.Compare(a.Name, b.Name) }), err)
}

func (s *Server) addPort(r *http.Request) (reply, error) {
	spec, err := decode(r, PortSpec.validate)
	if err != nil {
		return reply{}, err
	}
	port, err := s.backend.AddPort(r.Context(), spec)
	return created("/v1/ports/"+port.ID, complete(port), err)
}

func (s *Server) port(r *http.Request) (reply, error) {
	ref, _, err := target(r, "port")
	if err != nil {
		return reply{}, err
	}
	return onePort(s.backend.Port(r.Context(), ref))
}

func (s *Server) updatePort(r *http.Request) (reply, error) {
	ref, _, err := target(r, "port")
	if err != nil {
		return reply{}, err
	}
	update, err := decode(r, PortUpdate.validate)
	if err != nil {
		return reply{}, err
	}
	return onePort(s.backend.UpdatePort(r.Context(), ref, update))
}

func (s *Server) deletePort(r *http.Request) (reply, error) {
	ref, _, err := target(r, "port")
	if err != nil {
		return reply{}, err
	}
	return onePort(s.backend.DeletePort(r.Context(), ref))
}

func (s *Server) listPublished(r *http.Request) (reply, error) {
	segment, err := filter(r)
	if err != nil {
		return reply{}, err
	}
	list, err := s.backend.Published(r.Context(), segment)
	return ok(sorted(list, func(a, b Published) int { return cmp.Compare(a.Port, b.Port) }), err)
}

func (s *Server) publish(r *http.Request) (reply, error) {
	port, _, err := target(r, "port")
	if err != nil {
		return reply{}, err
	}
	spec, err := decode(r, PublishSpec.validate)
	if err != nil {
		return reply{}, err
	}
	published, err := s.backend.Publish(r.Context(), port, spec)
	return created("", published, err)
}

func (s *Server) unpublish(r *http.Request) (reply, error) {
	port, q, err := target(r, "port", "host_ip", "host_ports", "protocol")
	if err != nil {
		return reply{}, err
	}
	key, err := PublishedKey{HostIP: q.Get("host_ip"), HostPorts: q.Get("host_ports"), Protocol: q.Get("protocol")}.validate()
	if err != nil {
		return reply{}, err
	}
	return ok(s.backend.Unpublish(r.Context(), port, key))
}

func (s *Server) listFDB(r *http.Request) (reply, error) {
	segment, err := filter(r)
	if err != nil {
		return reply{}, err
	}
	list, err := s.backend.FDB(r.Context(), segment)
	return ok(sorted(list,
		func(a, b FDBEntry) int { return cmp.Compare(a.Segment, b.Segment) },
		func(a, b FDBEntry) int { return cmp.Compare(a.MAC, b.MAC) }), err)
}

func (s *Server) addFDB(r *http.Request) (reply, error) {
	segment, _, err := target(r, "segment")
	if err != nil {
		return reply{}, err
	}
	spec, err := decode(r, FDBSpec.validate)
	if err != nil {
		return reply{}, err
	}
	entry, err := s.backend.AddFDB(r.Context(), segment, spec)
	return created("", entry, err)
}

func (s *Server) deleteFDB(r *http.Request) (reply, error) {
	segment, _, err := target(r, "segment")
	if err != nil {
		return reply{}, err
	}
	mac, err := canonicalMAC(r.PathValue("mac"))
	if err != nil {
		return reply{}, err
	}
	return ok(s.backend.DeleteFDB(r.Context(), segment, mac))
}

func (s *Server) flushFDB(r *http.Request) (reply, error) {
	segment, _, err := target(r, "segment")
	if err != nil {
		return reply{}, err
	}
	flush, err := decode(r, FDBFlush.validate)
	if err != nil {
		return reply{}, err
	}
	return ok(s.backend.FlushFDB(r.Context(), segment, flush))
}

func (s *Server) listRules(r *http.Request) (reply, error) {
	segment, err := filter(r)
	if err != nil {
		return reply{}, err
	}
	list, err := s.backend.Rules(r.Context(), segment)
	return ok(sorted(list,
		func(a, b Rule) int { return cmp.Compare(a.Segment, b.Segment) },
		func(a, b Rule) int { return cmp.Compare(a.Position, b.Position) }), err)
}

func (s *Server) addRule(r *http.Request) (reply, error) {
	segment, _, err := target(r, "segment")
	if err != nil {
		return reply{}, err
	}
	spec, err := decode(r, RuleSpec.validate)
	if err != nil {
		return reply{}, err
	}
	rule, err := s.backend.AddRule(r.Context(), segment, spec)
	return created("", rule, err)
}

func (s *Server) deleteRule(r *http.Request) (reply, error) {
	segment, _, err := target(r, "segment")
	if err != nil {
		return reply{}, err
	}
	ref := r.PathValue("rule")
	if err := validateRef("rule", ref); err != nil {
		return reply{}, err
	}
	return ok(s.backend.DeleteRule(r.Context(), segment, ref))
}

func (s *Server) listARP(r *http.Request) (reply, error) {
	segment, err := filter(r)
	if err != nil {
		return reply{}, err
	}
	list, err := s.backend.ARP(r.Context(), segment)
	return ok(sorted(list,
		func(a, b Binding) int { return cmp.Compare(a.Segment, b.Segment) },
		func(a, b Binding) int { return a.IP.Compare(b.IP) }), err)
}

func (s *Server) listPools(r *http.Request) (reply, error) {
	if _, err := query(r); err != nil {
		return reply{}, err
	}
	list, err := s.backend.Pools(r.Context())
	return ok(sorted(list,
		func(a, b Pool) int { return a.Created.Compare(b.Created) },
		func(a, b Pool) int { return a.Subnet.Addr().Compare(b.Subnet.Addr()) }), err)
}

func (s *Server) reclaimPool(r *http.Request) (reply, error) {
	ref, _, err := target(r, "pool")
	if err != nil {
		return reply{}, err
	}
	return ok(s.backend.ReclaimPool(r.Context(), ref))
}

func onePort(p Port, err error) (reply, error) { return ok(complete(p), err) }

// complete makes an empty list and an empty table arrive as such and not as null.
func complete(p Port) Port {
	if p.IPs == nil {
		p.IPs = []netip.Prefix{}
	}
	if p.Counters.Drops == nil {
		p.Counters.Drops = map[string]uint64{}
	}
	return p
}

func ok[T any](body T, err error) (reply, error) {
	return reply{status: http.StatusOK, body: body}, err
}

// created takes an empty location for what has no address of its own.
func created[T any](location string, body T, err error) (reply, error) {
	return reply{status: http.StatusCreated, location: location, body: body}, err
}

// target reads the path's name of a segment or port and the query.
func target(r *http.Request, what string, keys ...string) (string, url.Values, error) {
	ref := r.PathValue(what)
	if err := validateRef(what, ref); err != nil {
		return "", nil, err
	}
	q, err := query(r, keys...)
	return ref, q, err
}

// filter reads the query of a list, which may be narrowed to one segment.
func filter(r *http.Request) (string, error) {
	q, err := query(r, "segment")
	if err != nil {
		return "", err
	}
	segment := q.Get("segment")
	if segment == "" {
		return "", nil
	}
	return segment, validateRef("segment", segment)
}

// query refuses keys that the route does not know: a misspelt filter would
// otherwise list or delete more than was meant.
func query(r *http.Request, keys ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, Invalidf("query %q: %w", clip(r.URL.RawQuery), err)
	}
next:
	for got, values := range q {
		for _, key := range keys {
			if got == key && len(values) == 1 {
				continue next
			}
			if got == key {
				return nil, Invalidf("query gives %s %d times: want it once", key, len(values))
			}
		}
		return nil, Invalidf("unknown query parameter %q for %q", clip(got), clip(r.URL.Path))
	}
	return q, nil
}

// decode reads the one JSON object of a request's body, with known fields only,
// and validates it.
func decode[T any](r *http.Request, validate func(T) (T, error)) (T, error) {
	var none T
	var v *T
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		return none, bodyError(err)
	}
	if _, err := dec.Token(); err == nil {
		return none, Invalidf("request body goes on after its JSON object: want one object")
	} else if !errors.Is(err, io.EOF) {
		return none, bodyError(err)
	}
	if v == nil {
		return none, Invalidf("request body is null: want a JSON object")
	}
	return validate(*v)
}

func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errorf(TooLarge, "request body is over %d bytes: send less", []any{maxBody})
	}
	if errors.Is(err, io.EOF) {
		return Invalidf("request body is empty: want a JSON object")
	}
	return Invalidf("request body: %s: want a JSON object as in openapi.yaml", clipTo(200, err.Error()))
}
