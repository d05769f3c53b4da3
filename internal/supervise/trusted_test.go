package supervise

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rootDir makes a directory that root alone can have put things into.
func rootDir(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to own files as root")
	}
	dir, err := os.MkdirTemp("/run", "vst-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// rootProgram is a copy of this test binary that root alone can have put there.
func rootProgram(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(program(t, name))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	write(t, path, b, 0o755)
	return path
}

// TestTrustedProgram: one that root alone can have put there, and that is of our own kind.
func TestTrustedProgram(t *testing.T) {
	t.Parallel()
	const other = 1234 // a user
	chown := func(name string) func(dir, path string) error {
		return func(dir, _ string) error { return os.Chown(filepath.Join(dir, name), other, 0) }
	}
	chmod := func(name string, mode os.FileMode) func(dir, path string) error {
		return func(dir, _ string) error { return os.Chmod(filepath.Join(dir, name), mode) }
	}
	script := func(_, path string) error { return os.WriteFile(path, []byte("#!/bin/sh\n"), 0) }
	anotherTool := func(_, path string) error { return copyProgram(path, "/bin/true") }
	for name, test := range map[string]struct {
		given         string                       // instead of the program, below its directory
		before, after func(dir, path string) error // the program is opened
		want          string
	}{
		"of root":        {},
		"of a user":      {before: chown("sub/program"), want: "/sub/program belongs to user 1234: want"},
		"group writes":   {before: chmod("sub/program", 0o775), want: "/sub/program has mode 0775: want"},
		"all write":      {before: chmod("sub/program", 0o757), want: "/sub/program has mode 0757: want"},
		"user's dir":     {before: chown("sub"), want: "/sub belongs to user 1234: want root"},
		"group's dir":    {before: chmod("sub", 0o770), want: "/sub has mode 0770: want"},
		"dir of all":     {before: chmod("", 0o777|os.ModeSticky), want: " has mode 1777: want"},
		"a script":       {before: script, want: "want a build of vswitch/"},
		"another tool":   {before: anotherTool, want: "want a build of vswitch/"},
		"link to it":     {given: "link", before: func(dir, path string) error { return os.Symlink(path, dir+"/link") }},
		"of a user late": {after: chown("sub/program"), want: "belongs to user 1234"},
		"deleted late":   {after: func(_, path string) error { return os.Remove(path) }, want: "no such file"},
		"swapped late": {
			after: func(dir, path string) error {
				if err := os.Rename(path, dir+"/old"); err != nil {
					return err
				}
				return os.Chown(dir+"/old", other, 0)
			}, want: "/old belongs to user 1234",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := rootDir(t)
			if err := os.Mkdir(dir+"/sub", 0o755); err != nil {
				t.Fatal(err)
			}
			path := rootProgram(t, dir+"/sub", "program")
			if test.before != nil {
				if err := test.before(dir, path); err != nil {
					t.Fatal(err)
				}
			}
			given := path
			if test.given != "" {
				given = filepath.Join(dir, test.given)
			}
			b, err := openBinary(given)
			if err != nil {
				t.Fatal(err)
			}
			defer b.close()
			if test.after != nil {
				if err := test.after(dir, path); err != nil {
					t.Fatal(err)
				}
			}
			err = b.trust()
			if test.want == "" && err != nil ||
				test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func copyProgram(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// TestUpgradeThatAMemberAsksFor takes what root has installed, and nothing else.
func TestUpgradeThatAMemberAsksFor(t *testing.T) {
	t.Parallel()
	dir := rootDir(t)
	r := start(t, "child", nil)
	r.upTo(own(t))
	r.want("upgrade-trusted "+program(t, "anybodys")+" 7", "asked")
	if got := r.heard(); !strings.Contains(got, "anybodys is not trusted from anyone but root: ") {
		t.Errorf("the child is told %q", got)
	}
	r.want("upgrade-trusted "+rootProgram(t, dir, "roots")+" 8", "asked")
	r.hears("making room")
	r.upTo("roots")
	r.wantUpgraded("8", "roots succeeded")

	// Where root has let the running program come from counts too.
	r.want("upgrade "+program(t, "anybodys")+" 9", "asked")
	r.hears("making room")
	r.upTo("anybodys")
	r.want("upgrade-trusted", "asked")
	if got := r.heard(); !strings.Contains(got, "anybodys is not trusted from anyone but root: ") {
		t.Errorf("the child is told %q", got)
	}
}

// TestUpgradeThatAMemberAsksAnOldSupervisorFor: one that would not look at the program.
func TestUpgradeThatAMemberAsksAnOldSupervisorFor(t *testing.T) {
	t.Parallel()
	c, _, _ := newPair(t)
	err := c.Upgrade(t.Context(), UpgradeRequest{Binary: "/x", Trusted: true})
	if err == nil || !strings.Contains(err.Error(), "of a version before") {
		t.Errorf("got %v, want that the supervisor cannot check it", err)
	}
}
