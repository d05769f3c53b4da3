package peer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// addNamespaces makes named network namespaces, or none of them.
//
// It calls ip(8) rather than mounting by hand, so that /run/netns becomes a shared mount
// as ip needs it.
func addNamespaces(names ...string) error {
	commands := make([]string, len(names))
	for i, name := range names {
		commands[i] = "netns add " + name
	}
	if err := ipBatch("", commands...); err != nil {
		_ = deleteNamespaces(names...) // the first error says more
		return fmt.Errorf("make network namespaces: %w", err)
	}
	return nil
}

// deleteNamespaces deletes those of the named network namespaces that exist.
func deleteNamespaces(names ...string) error {
	var commands []string
	for _, name := range names {
		if _, err := os.Lstat(namespacePath(name)); err == nil {
			commands = append(commands, "netns delete "+name)
		}
	}
	if len(commands) == 0 {
		return nil
	}
	return ipBatch("", commands...)
}

// namespacePath returns the file that holds the network namespace of this name
// (ip-netns(8)).
func namespacePath(name string) string { return filepath.Join("/run/netns", name) }

// command returns the command argv, which runs in a network namespace and is killed when
// ctx ends.
func command(ctx context.Context, namespace string, argv ...string) *exec.Cmd {
	args := append([]string{"--net=" + namespacePath(namespace), "--"}, argv...)
	return exec.CommandContext(ctx, "nsenter", args...)
}
