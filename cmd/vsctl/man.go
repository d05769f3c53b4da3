//go:build man

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Built with the tag "man", the program writes its manual and does nothing else:
// a page for each command, into the directory that is its one argument. So the
// program that is installed carries no renderer.
func init() {
	root := new(app).rootCommand(defaultSocket)
	addCompletion(root)
	if err := writeManual(root, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "vsctl: write the manual: %s\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// writeManual dates the pages by $SOURCE_DATE_EPOCH.
func writeManual(root *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one DIRECTORY, got %q", args)
	}
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: "1", Source: "vswitch " + version, Manual: "vswitch"}
	return doc.GenManTree(root, header, args[0])
}
