package main

import (
	"fmt"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// applyConfig sets every flag that the file names and the command line does not.
// A value is written as TOML's own type or as the flag's text; a list sets a
// flag that may be repeated.
func applyConfig(c *cobra.Command, path string) error {
	if path == "" {
		return nil
	}
	var values map[string]any
	if _, err := toml.DecodeFile(path, &values); err != nil {
		return fmt.Errorf("--config %s: %w", path, err)
	}
	for name, value := range values {
		flag := c.Flags().Lookup(name)
		if flag == nil || name == "config" || name == "help" || name == "version" {
			return fmt.Errorf("--config %s: %q is not a flag of vswitchd: see vswitchd --help", path, name)
		}
		if flag.Changed {
			continue
		}
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		if _, repeatable := flag.Value.(pflag.SliceValue); !repeatable && len(list) != 1 {
			return fmt.Errorf("--config %s: %s is given %d times: want it once", path, name, len(list))
		}
		for _, v := range list {
			if err := flag.Value.Set(fmt.Sprint(v)); err != nil {
				return fmt.Errorf("--config %s: %s = %v: %w", path, name, v, err)
			}
		}
	}
	return nil
}
