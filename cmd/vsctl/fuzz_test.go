package main

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"vswitch/api/apitest"
	"vswitch/internal/control/controltest"
)

// FuzzArguments gives vsctl any arguments, split at line ends: it must end with a
// status of its documentation, and when it fails say why, one line for each object.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{
		"", "--help", "version", "list-segments\n--format\njson", "list-ports\nbridge\n--format\n{{.Name}}",
		"add-segment\nblue\n--subnet\n10.1.0.0/16\n--gateway\n10.1.0.1\n--mtu\n1400\n--label\na=b",
		"add-port\na\n--netns\nc\n--ip\n172.17.0.9\n--mac\n02:00:00:00:00:01\n--rate-in\n1gbit:64kb",
		"set-port\na\n--security\nmac\n--allow-address\n10.0.0.0/8\n--label\nk-", "set-port\na\n--mac\n02:00:00:00:00:02\n--bpdu-guard",
		"del-port\na\nb", "del-segment\n--force\nx",
		"add-fdb\nbridge\n02:00:00:00:00:01\na", "flush-fdb\nbridge\n--port\na", "deny\nbridge\n--from\nany\n--port\n80-90",
		"del-rule\nbridge\n12", "inspect\nbridge", "stats\na", "show", "completion\nbash", "__complete\nlist-ports\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\n")
		if slices.ContainsFunc(args, func(a string) bool {
			// These would write files and speak to other sockets, as they should.
			return strings.Contains(a, "backup") || strings.Contains(a, "--socket") || strings.Contains(a, "range")
		}) {
			t.Skip()
		}
		socket := apitest.Serve(t, controltest.New(t, "c"))
		code, _, stderr := vsctl(t.Context(), socket, args...)
		switch {
		case code < 0 || code > 2:
			t.Errorf("%q: exit status %d", args, code)
		case code == 0:
		case !explains(stderr):
			t.Errorf("%q: status %d, and on stderr %q", args, code, stderr)
		case utf8.ValidString(line) && !utf8.ValidString(stderr):
			t.Errorf("%q: not text on stderr: %q", args, stderr)
		}
	})
}

// explains says whether there is a line at least, and each names the program.
func explains(stderr string) bool {
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	return strings.HasSuffix(stderr, "\n") && !slices.ContainsFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "vsctl: ") })
}
