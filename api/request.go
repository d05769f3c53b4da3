package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"vswitch/internal/wellformed"
)

// oneObject has next read a body that is one JSON value, of at most maxBody bytes, with nothing
// behind it.
func (s *Server) oneObject(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost && r.Method != http.MethodPatch {
			next.ServeHTTP(w, r)
			return
		}
		var object json.RawMessage
		body := json.NewDecoder(r.Body)
		err := body.Decode(&object)
		if err == nil {
			_, err = body.Token()
			if err == nil {
				err = Invalidf("request body goes on after its JSON object: want one object")
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
		} else if errors.Is(err, io.EOF) {
			err = Invalidf("request body is empty: want a JSON object")
		}
		if err != nil {
			s.refuse(w, r, bodyError(err))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(object))
		next.ServeHTTP(w, r)
	})
}

// bodyError says in one line what is wrong with a request's body.
func bodyError(err error) error {
	if e, ok := errors.AsType[*Error](err); ok { // of UnmarshalJSON
		return e
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errorf(TooLarge, "request body is over %d bytes: send less", []any{maxBody})
	}
	return Invalidf("request body: %s: want a JSON object as in openapi.yaml",
		wellformed.Cut(err.Error(), 200))
}

// refs are the fields of requests that name an object in the path.
var refs = []string{"Segment", "Port", "Rule", "Pool"}

// checkRequest refuses what cannot be a name in the path and what the operation does not have in
// the query.
func checkRequest(next StrictHandlerFunc, _ string) StrictHandlerFunc {
	return func(
		ctx context.Context, w http.ResponseWriter, r *http.Request, request any,
	) (any, error) {
		fields := reflect.ValueOf(request)
		err := checkQuery(r.URL, fields.FieldByName("Params"))
		for _, name := range refs {
			if ref := fields.FieldByName(name); err == nil && ref.IsValid() {
				err = validateRef(strings.ToLower(name), ref.String())
			}
		}
		if err != nil {
			return nil, err
		}
		return next(ctx, w, r, request)
	}
}

// checkQuery refuses keys that params, a struct or nothing, does not have: a misspelt filter
// would otherwise list or delete more than was meant.
func checkQuery(u *url.URL, params reflect.Value) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Invalidf("query %q: %w", clip(u.RawQuery), err)
	}
	known := map[string]bool{}
	if params.IsValid() {
		for field := range params.Type().Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("form"), ",")
			known[name] = true
		}
	}
	for name, values := range query {
		switch {
		case !known[name]:
			return Invalidf("unknown query parameter %q for %q", clip(name), clip(u.Path))
		case len(values) > 1:
			return timesError(name, len(values))
		}
	}
	if segment := query.Get("segment"); segment != "" {
		return validateRef("segment", segment)
	}
	return nil
}

func timesError(name string, times int) error {
	return Invalidf("query gives %s %d times: want it once", name, times)
}

// requestError says in the API's words what the generated code says of a request.
func requestError(u *url.URL, err error) error {
	if e, ok := errors.AsType[*RequiredParamError](err); ok {
		return Invalidf("query lacks %s: give it once", e.ParamName)
	}
	e, ok := errors.AsType[*InvalidParamFormatError](err)
	if !ok {
		return err
	}
	values := u.Query()[e.ParamName]
	switch len(values) {
	case 0:
		return Invalidf("%s: %w", e.ParamName, e.Err)
	case 1:
		return Invalidf("%s %q: want true or false", e.ParamName, clip(values[0])) // the others are texts
	}
	return timesError(e.ParamName, len(values))
}
