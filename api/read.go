package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// What a request's body asks for is read once, into the types that it stays in: a spec or an
// update is unmarshalled whole, in canonical form and with its defaults, or not at all.

// UnmarshalJSON reads a request's body.
func (s *SegmentSpec) UnmarshalJSON(b []byte) error { return readBody(b, s, SegmentSpec.validate) }

// UnmarshalJSON reads a request's body.
func (u *SegmentUpdate) UnmarshalJSON(b []byte) error {
	return readBody(b, u, SegmentUpdate.validate)
}

// UnmarshalJSON reads a request's body.
func (s *PortSpec) UnmarshalJSON(b []byte) error { return readBody(b, s, PortSpec.validate) }

// UnmarshalJSON reads a request's body.
func (u *PortUpdate) UnmarshalJSON(b []byte) error { return readBody(b, u, PortUpdate.validate) }

// UnmarshalJSON reads a request's body.
func (s *PublishSpec) UnmarshalJSON(b []byte) error { return readBody(b, s, PublishSpec.validate) }

// UnmarshalJSON reads a request's body.
func (s *RuleSpec) UnmarshalJSON(b []byte) error { return readBody(b, s, RuleSpec.validate) }

// UnmarshalJSON reads a request's body.
func (s *FDBSpec) UnmarshalJSON(b []byte) error { return readBody(b, s, FDBSpec.validate) }

// UnmarshalJSON reads a request's body.
func (f *FDBFlush) UnmarshalJSON(b []byte) error { return readBody(b, f, FDBFlush.validate) }

// UnmarshalJSON reads a request's body.
func (s *UpgradeSpec) UnmarshalJSON(b []byte) error { return readBody(b, s, UpgradeSpec.validate) }

// readBody reads a JSON object, with known fields only, into *v and validates it. An error is
// Invalid, or what validate says, and names the field.
func readBody[T any](body []byte, v *T, validate func(T) (T, error)) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return bodyError(err)
	}
	if fields == nil {
		return Invalidf("request body is null: want a JSON object")
	}
	var read T
	places := fieldsByName(reflect.ValueOf(&read).Elem())
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		place, known := places[name]
		if !known {
			return bodyErrorf("unknown field %q", name)
		}
		if err := readField(place, strings.ReplaceAll(name, "_", " "), fields[name]); err != nil {
			return err
		}
	}
	valid, err := validate(read)
	if err == nil {
		*v = valid
	}
	return err
}

// fieldsByName returns the fields of a struct by their names in JSON.
func fieldsByName(v reflect.Value) map[string]reflect.Value {
	m := make(map[string]reflect.Value, v.NumField())
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		m[name] = v.Field(i)
	}
	return m
}

// readField reads what a request has for a field. Null and, where a field may be left out, an
// empty text are as if it was left out.
func readField(place reflect.Value, name string, value json.RawMessage) error {
	if string(value) == "null" {
		return nil
	}
	optional := place.Kind() != reflect.Pointer
	if !optional {
		place.Set(reflect.New(place.Type().Elem()))
		place = place.Elem()
	}
	var texts []string
	var err error
	switch to := place.Addr().Interface().(type) {
	case *netip.Prefix:
		err = readText(value, to, name, true, prefixParser(name))
	case *netip.Addr:
		err = readText(value, to, name, true, addrParser(name))
	case *PortIP:
		err = readText(value, to, name, true, ParsePortIP)
	case *MAC:
		err = readText(value, to, name, optional, ParseMAC)
	case *Rate:
		err = readText(value, to, name, optional, ParseRate)
	case *PortRange:
		err = readText(value, to, name, optional, ParsePorts)
	case *[]netip.Prefix:
		if err = readPlain(value, &texts, name); err == nil {
			*to, err = ParseAllAllowed(texts)
		}
	case *[]MACMask:
		if err = readPlain(value, &texts, name); err == nil {
			*to, err = ParseAllAllowedMACs(texts)
		}
	case *[]LinkProtocol:
		if err = readPlain(value, &texts, name); err == nil {
			*to, err = ParseAllAllowedProtocols(texts)
		}
	default:
		err = readPlain(value, to, name)
	}
	return err
}

// readText reads a field that is a text with a form of its own.
func readText[T any](
	value json.RawMessage, to *T, name string, optional bool, parse func(string) (T, error),
) error {
	var text string
	if err := readPlain(value, &text, name); err != nil || text == "" && optional {
		return err
	}
	read, err := parse(text)
	if err != nil {
		return about(name, err)
	}
	*to = read
	return nil
}

// about has an error begin with what it is about.
func about(name string, err error) error {
	if strings.HasPrefix(err.Error(), name) {
		return err
	}
	return errorf(KindOf(err), "%s: %w", []any{name, err})
}

// readPlain reads a field that has no form of its own, and refuses what is unknown in it.
func readPlain(value json.RawMessage, to any, name string) error {
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return bodyErrorf("%s: %w", name, err)
	}
	return nil
}

func bodyErrorf(format string, args ...any) error { return bodyError(fmt.Errorf(format, args...)) }

// prefixParser returns a parser of networks that go by a name.
func prefixParser(name string) func(string) (netip.Prefix, error) {
	return func(s string) (netip.Prefix, error) { return ParsePrefix(name, s) }
}

// addrParser returns a parser of addresses that go by a name.
func addrParser(name string) func(string) (netip.Addr, error) {
	return func(s string) (netip.Addr, error) { return ParseAddr(name, s) }
}
