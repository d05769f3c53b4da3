// Command vswitchd is the switch: it attaches TAP devices to containers' network
// namespaces and carries frames between them. vsctl steers it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil && !errors.Is(err, errReported) {
		fmt.Fprintf(os.Stderr, "vswitchd: %s\n", err)
	}
	if err != nil {
		os.Exit(exitStatus(err))
	}
}
