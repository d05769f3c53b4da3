// Package manual renders the manual of a program from its commands: in flows a tree
// of commands with their help, out flow pages for man(1). Programs use it only when
// built with the tag "man", so what is installed carries no renderer.
package manual

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Main is all that a program built with the tag "man" does: it writes a page for each
// of root's commands into the directory that is the command line's one argument, and
// exits, with status 1 after an error. The pages are of this section of the manual
// and dated by $SOURCE_DATE_EPOCH.
func Main(root *cobra.Command, section, version string) {
	if err := write(root, section, version, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: write the manual: %s\n", root.Name(), err)
		os.Exit(1)
	}
	os.Exit(0)
}

func write(root *cobra.Command, section, version string, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one DIRECTORY, got %q", args)
	}
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: section, Source: "vswitch " + version, Manual: "vswitch"}
	return doc.GenManTree(root, header, args[0])
}
