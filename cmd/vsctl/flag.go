package main

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"vswitch/api"
)

// textFlag is a flag whose text is checked later, by read or by the daemon, so that a value which
// makes no sense is a failure like any other. Its kind names the value in the help.
type textFlag struct {
	text *string // what it is beforehand is the default
	kind string
}

// String, Set and Type implement [pflag.Value].
func (t textFlag) String() string { return *t.text }

// Type names the value in the help.
func (t textFlag) Type() string { return t.kind }

// Set takes any text but none at all, as of a script's unset variable, which would
// mean the default.
func (t textFlag) Set(s string) error {
	if s == "" {
		return errors.New("is empty: give a value or leave the flag out")
	}
	*t.text = s
	return nil
}

// read parses the text of a flag, if it was given, into what a request has for it. A text that
// makes no sense is a failure like any other, and not wrong usage.
func read[T any](text string, parse func(string) (T, error), field *T) error {
	if text == "" {
		return nil
	}
	v, err := parse(text)
	if err == nil {
		*field = v
	}
	return err
}

// named returns a parser of texts that go by a name.
func named[T any](what string, parse func(what, s string) (T, error)) func(string) (T, error) {
	return func(s string) (T, error) { return parse(what, s) }
}

// auxFlag is a repeatable flag of auxiliary addresses.
type auxFlag map[string]string // by their names, not parsed

// String, Set and Type implement [pflag.Value].
func (f *auxFlag) String() string { return strings.Join(slices.Sorted(maps.Keys(*f)), ",") }

// Type names the value in the help.
func (f *auxFlag) Type() string { return "NAME=IP" }

// Set adds one address.
func (f *auxFlag) Set(s string) error {
	name, a, ok := strings.Cut(s, "=")
	if !ok || name == "" || a == "" {
		return errors.New("want NAME=ADDRESS")
	}
	if _, twice := (*f)[name]; twice {
		return fmt.Errorf("%q is given twice: want one address a name", name)
	}
	if *f == nil {
		*f = auxFlag{}
	}
	(*f)[name] = a
	return nil
}

// addresses parses the addresses.
func (f *auxFlag) addresses() (map[string]netip.Addr, error) {
	if len(*f) == 0 {
		return nil, nil
	}
	addresses := make(map[string]netip.Addr, len(*f))
	for _, name := range slices.Sorted(maps.Keys(*f)) {
		var err error
		if addresses[name], err = api.ParseAddr("auxiliary address", (*f)[name]); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}

// labelFlag is a repeatable flag of labels to set and, where removable, to remove.
type labelFlag struct {
	labels    map[string]*string // nil removes
	removable bool
}

// String, Set and Type implement [pflag.Value].
func (l *labelFlag) String() string { return strings.Join(slices.Sorted(maps.Keys(l.labels)), ",") }

// Type names the value in the help.
func (l *labelFlag) Type() string {
	if l.removable {
		return "K=V|K-"
	}
	return "K=V"
}

// Set adds one label.
func (l *labelFlag) Set(s string) error {
	if l.labels == nil {
		l.labels = map[string]*string{}
	}
	if k, v, ok := strings.Cut(s, "="); ok && k != "" {
		l.labels[k] = &v
		return nil
	}
	if k, ok := strings.CutSuffix(s, "-"); l.removable && ok && k != "" {
		l.labels[k] = nil
		return nil
	}
	if l.removable {
		return errors.New("want KEY=VALUE to set a label or KEY- to remove it")
	}
	return errors.New("want KEY=VALUE")
}

// values are the labels to set.
func (l *labelFlag) values() map[string]string {
	m := make(map[string]string, len(l.labels))
	for k, v := range l.labels {
		if v != nil {
			m[k] = *v
		}
	}
	return m
}
