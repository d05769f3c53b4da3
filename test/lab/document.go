package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"vswitch/api"
)

// Document is the API's document, api/openapi.yaml, as tests hold a daemon to it: although
// answers may gain fields, those that it does not name are refused. It is safe for concurrent
// use.
type Document struct {
	router  routers.Router
	problem *routers.Route // of a request that no operation is for
}

// LoadDocument reads the document from a file.
func LoadDocument(file string) (*Document, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the API's document: %w", err)
	}
	for _, schema := range doc.Components.Schemas {
		refuseOthers(schema)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		return nil, fmt.Errorf("read the API's document %s: %w", file, err)
	}
	problem := doc.Components.Responses["Problem"]
	if problem == nil {
		return nil, fmt.Errorf("the API's document %s has no response Problem", file)
	}
	answers := openapi3.NewResponses(openapi3.WithName("default", problem.Value))
	none := &openapi3.Operation{Responses: answers}
	return &Document{router: router, problem: &routers.Route{Spec: doc, Operation: none}}, nil
}

// refuseOthers has the objects of a schema refuse properties that it does not name. A schema
// that refers to another is left to that one.
func refuseOthers(ref *openapi3.SchemaRef) {
	if ref == nil || ref.Ref != "" {
		return
	}
	s := ref.Value
	others := s.AdditionalProperties
	if len(s.Properties) > 0 && others.Has == nil && others.Schema == nil {
		s.AdditionalProperties.Has = new(false)
	}
	for _, property := range s.Properties {
		refuseOthers(property)
	}
	refuseOthers(s.Items)
	refuseOthers(s.AdditionalProperties.Schema)
}

// Exchange is a request and the answer to it, with their bodies.
type Exchange struct {
	Request *http.Request // its Body is not read
	Sent    []byte
	Status  int
	Header  http.Header
	Body    []byte
}

// Check says what in an exchange is not as the document has it: the status, the content type or
// the body of the answer, or a request that the daemon accepts. One that it refuses may be wrong,
// and must be answered by a problem document.
func (d *Document) Check(e Exchange) error {
	ctx := context.Background()
	accepted := e.Status < 400
	in, found := d.input(e)
	if accepted && !found {
		return errors.New("the document has no such operation")
	}
	if accepted {
		if err := openapi3filter.ValidateRequest(ctx, in); err != nil {
			return fmt.Errorf("accepts a request that the document refuses: %w", err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: e.Status, Header: e.Header, Options: in.Options,
	}
	if err := openapi3filter.ValidateResponse(ctx, out.SetBodyBytes(e.Body)); err != nil {
		return fmt.Errorf("answers %d: %w", e.Status, err)
	}
	if accepted || e.Request.Method == http.MethodHead {
		return nil
	}
	return checkProblem(e)
}

// input is the request of an exchange with the operation that it is for, if there is one.
func (d *Document) input(e Exchange) (in *openapi3filter.RequestValidationInput, found bool) {
	options := &openapi3filter.Options{
		IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true,
		SkipSettingDefaults: true, MultiError: true,
	}
	options.WithCustomSchemaErrorFunc(place)
	request := e.Request.Clone(context.Background())
	request.Body, request.GetBody = io.NopCloser(bytes.NewReader(e.Sent)), nil
	in = &openapi3filter.RequestValidationInput{Request: request, Route: d.problem, Options: options}
	named := request
	if request.Method == http.MethodHead {
		named = request.Clone(context.Background())
		named.Method = http.MethodGet
	}
	route, params, err := d.router.FindRoute(named)
	if err == nil {
		in.Route, in.PathParams = route, params
	}
	return in, err == nil
}

// place says where in a body something is wrong; kin-openapi would print the schema too.
func place(err *openapi3.SchemaError) string {
	value, _ := json.Marshal(err.Value)
	const most = 200
	if len(value) > most {
		value = append(value[:most], "…"...)
	}
	return fmt.Sprintf("/%s: %s: %s", strings.Join(err.JSONPointer(), "/"), err.Reason, value)
}

// checkProblem says what in a problem document contradicts its response or its request.
func checkProblem(e Exchange) error {
	var p struct {
		Type, Instance string
		Status         int
	}
	if err := json.Unmarshal(e.Body, &p); err != nil {
		return fmt.Errorf("answers %d: %w", e.Status, err)
	}
	kind := api.Kind(strings.TrimPrefix(p.Type, "urn:vswitch:problem:"))
	switch path := e.Request.URL.EscapedPath(); {
	case p.Status != e.Status || kind.Status() != e.Status:
		return fmt.Errorf("answers %d by a problem %s with status %d", e.Status, p.Type, p.Status)
	case p.Instance != path:
		return fmt.Errorf("answers by a problem of %q", p.Instance)
	}
	return nil
}
