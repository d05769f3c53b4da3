//go:build man

package main

import "vswitch/internal/manual"

// Built with the tag "man", the program writes its manual and does nothing else.
func init() {
	root := new(app).rootCommand(defaultSocket)
	addCompletion(root)
	manual.Main(root, "1", version)
}
