package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Kind tells errors apart. Its text ends the problem document's type.
type Kind string

// Kinds of error, each with its HTTP status.
const (
	NotFound         Kind = "not-found"          // 404: no such segment, port, entry, namespace or route
	MethodNotAllowed Kind = "method-not-allowed" // 405: the route exists, not for this method
	Conflict         Kind = "conflict"           // 409: taken, in use or ambiguous
	Exhausted        Kind = "exhausted"          // 409: no free pool, address or slot
	TooLarge         Kind = "too-large"          // 413: the request's body
	Invalid          Kind = "invalid"            // 400: the request itself is wrong
	Denied           Kind = "denied"             // 403
	Unsupported      Kind = "unsupported"        // 501: by this kernel or this version
	Unavailable      Kind = "unavailable"        // 503: starting, stopping or too slow
	Internal         Kind = "internal"           // 500: a failure that is not the caller's
)

// Error is an error that crosses the socket with its kind.
type Error struct {
	Kind     Kind
	Detail   string // one line: what is wrong with which value, and how to mend it
	Instance string // the request's path, at the client; empty elsewhere
	cause    error
}

// Error returns the detail alone, so that it reads the same at both ends.
func (e *Error) Error() string { return e.Detail }

// Unwrap returns the error that the detail was formatted from, at the server.
func (e *Error) Unwrap() error { return e.cause }

// KindOf returns the kind of the first [Error] in err's chain. A context's end is
// Unavailable and any other error Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return cmp.Or(e.Kind, Internal)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Unavailable
	}
	return Internal
}

// NotFoundf formats an [Error] as [fmt.Errorf] does, %w included.
func NotFoundf(format string, args ...any) error { return errorf(NotFound, format, args) }

// Conflictf formats an [Error] as [fmt.Errorf] does, %w included.
func Conflictf(format string, args ...any) error { return errorf(Conflict, format, args) }

// Exhaustedf formats an [Error] as [fmt.Errorf] does, %w included.
func Exhaustedf(format string, args ...any) error { return errorf(Exhausted, format, args) }

// Invalidf formats an [Error] as [fmt.Errorf] does, %w included.
func Invalidf(format string, args ...any) error { return errorf(Invalid, format, args) }

// Deniedf formats an [Error] as [fmt.Errorf] does, %w included.
func Deniedf(format string, args ...any) error { return errorf(Denied, format, args) }

// Unsupportedf formats an [Error] as [fmt.Errorf] does, %w included.
func Unsupportedf(format string, args ...any) error { return errorf(Unsupported, format, args) }

// Unavailablef formats an [Error] as [fmt.Errorf] does, %w included.
func Unavailablef(format string, args ...any) error { return errorf(Unavailable, format, args) }

// Internalf formats an [Error] as [fmt.Errorf] does, %w included.
func Internalf(format string, args ...any) error { return errorf(Internal, format, args) }

func errorf(kind Kind, format string, args []any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Detail: err.Error(), cause: err}
}

// Status is the kind's HTTP status; an unknown kind has that of Internal.
func (k Kind) Status() int {
	switch k {
	case NotFound:
		return http.StatusNotFound
	case MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case Conflict, Exhausted:
		return http.StatusConflict
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case Invalid:
		return http.StatusBadRequest
	case Denied:
		return http.StatusForbidden
	case Unsupported:
		return http.StatusNotImplemented
	case Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// kindOfStatus is the kind to assume when a problem's type is not known here, as
// from a newer daemon.
func kindOfStatus(status int) Kind {
	for _, k := range []Kind{NotFound, MethodNotAllowed, Conflict, TooLarge, Invalid, Denied, Unsupported, Unavailable} {
		if k.Status() == status {
			return k
		}
	}
	if status >= 400 && status < 500 {
		return Invalid
	}
	return Internal
}

// problemTypePrefix and a kind make a problem's type, a URI as RFC 9457 §3.1.1
// wants it.
const (
	problemTypePrefix  = "urn:vswitch:problem:"
	problemContentType = "application/problem+json"
)

func newProblem(err error, instance string) Problem {
	kind := KindOf(err)
	return Problem{
		Type:     problemTypePrefix + string(kind),
		Title:    strings.ReplaceAll(string(kind), "-", " "),
		Status:   kind.Status(),
		Detail:   err.Error(),
		Instance: instance,
	}
}

// asError turns a received problem back; status is that of the response, which
// counts where the document contradicts it.
func (p Problem) asError(status int) *Error {
	kind, ours := strings.CutPrefix(p.Type, problemTypePrefix)
	e := &Error{Kind: Kind(kind), Detail: p.Detail, Instance: p.Instance}
	if !ours || e.Kind.Status() != status {
		e.Kind = kindOfStatus(status)
	}
	if e.Detail == "" {
		e.Detail = p.Title
	}
	return e
}
