//go:build man

package main

import "vswitch/internal/manual"

// Built with the tag "man", the program writes its manual and does nothing else.
func init() {
	manual.Main(newRootCommand(), "1", version)
}
