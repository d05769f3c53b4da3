package main

import (
	"strings"

	"github.com/spf13/pflag"

	"vswitch/api"
)

// namesFlag is a repeatable flag of names that the daemon checks.
type namesFlag []string

// String, Set and Type implement [pflag.Value].
func (n *namesFlag) String() string { return strings.Join(*n, ",") }

// Type names the value in the help.
func (n *namesFlag) Type() string { return "NAME" }

// Set adds one name.
func (n *namesFlag) Set(s string) error { return wordsFlag{(*[]string)(n), "NAME"}.Set(s) }

// change puts the names into update if any was given; "none" alone is none.
func (n *namesFlag) change(flags *pflag.FlagSet, update *api.PortUpdate) {
	if !flags.Changed("alias") {
		return
	}
	list := []string(*n)
	if len(list) == 1 && list[0] == "none" {
		list = []string{}
	}
	update.Aliases = &list
}
