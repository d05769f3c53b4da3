package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"text/tabwriter"
	"text/template"

	"github.com/spf13/cobra"
)

const formatHelp = `
--format json prints one array. Any other format is a Go template that is printed
for each element with a newline after it; its fields are %s.
Functions: json, join, split, lower, upper. \t and \n stand for tab and newline.`

// format is the value of --format.
type format struct {
	text     string
	template *template.Template // nil for table and json
}

// String, Set and Type implement [pflag.Value].
func (f *format) String() string { return f.text }

// Type names the value in the help.
func (f *format) Type() string { return "table|json|TEMPLATE" }

// Set parses a template; an error of it is therefore wrong usage.
func (f *format) Set(s string) error {
	if s == "table" || s == "json" {
		f.text, f.template = s, nil
		return nil
	}
	if !strings.Contains(s, "{{") || strings.HasPrefix(s, "table ") {
		return errors.New("want table, json or a Go template such as {{.Name}}")
	}
	t, err := template.New("--format").Funcs(templateFuncs).Parse(unescape(s))
	if err != nil {
		return err
	}
	f.text, f.template = s, t
	return nil
}

// escapes are those of a template's text. In its actions, matched as a whole, they are
// for Go's own strings to mean.
var escapes = regexp.MustCompile(`(?s)\{\{.*?\}\}|\\[tn]`)

// unescape puts tabs and newlines in place of their escapes.
func unescape(s string) string {
	return escapes.ReplaceAllStringFunc(s, func(match string) string {
		switch match {
		case `\t`:
			return "\t"
		case `\n`:
			return "\n"
		}
		return match
	})
}

// templateFuncs are those of docker's templates that have a use here.
var templateFuncs = template.FuncMap{
	"json": func(v any) (string, error) {
		b, err := marshal(v, "")
		return strings.TrimSuffix(string(b), "\n"), err
	},
	"join":  join,
	"split": strings.Split,
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
}

// join takes a list of anything that can be printed, such as addresses.
func join(list any, separator string) (string, error) {
	v := reflect.ValueOf(list)
	if v.Kind() != reflect.Slice {
		return "", fmt.Errorf("join wants a list, got %T", list)
	}
	parts := make([]string, v.Len())
	for i := range parts {
		parts[i] = fmt.Sprint(v.Index(i).Interface())
	}
	return strings.Join(parts, separator), nil
}

func formatFlag(cmd *cobra.Command, f *format) {
	cmd.Flags().Var(f, "format", "how to print it")
	// It fails only for a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// column is one of a table of T.
type column[T any] struct {
	title string
	cell  func(T) string
}

// printList prints items as f says. Nothing is printed unless all can be.
func printList[T any](w io.Writer, f *format, items []T, columns []column[T]) error {
	var out bytes.Buffer
	switch {
	case f.template != nil:
		if err := executeEach(&out, f.template, items); err != nil {
			return err
		}
	case f.text == "json":
		if err := writeArray(&out, items); err != nil {
			return err
		}
	default:
		if err := writeTable(&out, items, columns); err != nil {
			return err
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

func executeEach[T any](w *bytes.Buffer, t *template.Template, items []T) error {
	for _, item := range items {
		if err := t.Execute(w, cleaned(item)); err != nil {
			return fmt.Errorf("%w: the fields are %s", err, fields[T]())
		}
		w.WriteByte('\n')
	}
	return nil
}

// fields lists what a template for T may name.
func fields[T any]() string {
	var names []string
	for f := range reflect.TypeFor[T]().Fields() {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

// writeArray writes one JSON array, [] when there is nothing, indented as docker's.
func writeArray[T any](w io.Writer, items []T) error {
	if items == nil {
		items = []T{}
	}
	b, err := marshal(items, "    ")
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

func marshal(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	err := enc.Encode(v)
	return b.Bytes(), err
}

// writeTable leaves three spaces between columns, as docker does, and shows an
// empty cell as "-", so that each row has as many words as the next.
func writeTable[T any](w io.Writer, items []T, columns []column[T]) error {
	tw := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	row := func(cell func(column[T]) string) {
		for i, c := range columns {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, cell(c))
		}
		fmt.Fprintln(tw)
	}
	row(func(c column[T]) string { return c.title })
	for _, item := range items {
		row(func(c column[T]) string {
			if s := clean(c.cell(item)); s != "" {
				return s
			}
			return "-"
		})
	}
	return tw.Flush()
}

// listing is the flags that listings of objects with ids share.
type listing struct {
	format  format
	quiet   bool
	noTrunc bool
}

func (l *listing) register(cmd *cobra.Command) {
	l.format.text = "table"
	formatFlag(cmd, &l.format)
	cmd.Flags().BoolVarP(&l.quiet, "quiet", "q", false, "print ids only")
	cmd.Flags().BoolVar(&l.noTrunc, "no-trunc", false, "print ids in full")
}

func (l *listing) check() error {
	if l.quiet && l.format.text != "table" {
		return usagef("--quiet and --format %s exclude each other: use one of them", l.format.text)
	}
	return nil
}

// id shortens an id for people as docker does.
func (l *listing) id(id string) string {
	if l.noTrunc {
		return id
	}
	return shortID(id)
}

func shortID(id string) string { return id[:min(len(id), 12)] }

// printObjects prints items, or with --quiet their ids.
func printObjects[T any](w io.Writer, l *listing, items []T, id func(T) string, columns []column[T]) error {
	if !l.quiet {
		return printList(w, &l.format, items, columns)
	}
	for _, item := range items {
		if _, err := fmt.Fprintln(w, clean(l.id(id(item)))); err != nil {
			return err
		}
	}
	return nil
}
