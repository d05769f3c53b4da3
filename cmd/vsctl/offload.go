package main

import (
	"github.com/spf13/cobra"

	"vswitch/api"
)

const offloadHelp = `
With --offload off the containers' kernels complete checksums and cut large TCP and UDP writes
into packets by themselves, instead of leaving that to the receivers. That costs bulk TCP much
and is worth a few per cent where nearly all frames are small, such as those of voice, games or
name servers. Changing it loses what waits in the interfaces' queues, and their carrier for a
moment.`

// registerOffload defines --offload; auto is what auto means.
func registerOffload(cmd *cobra.Command, o *api.Offload, auto string) {
	cmd.Flags().Var(textFlag{(*string)(o), "on|off|auto"}, "offload",
		"leave checksums and the cutting of TCP and UDP to the receivers (default auto: "+auto+")")
	completeFlag(cmd, "offload", func(*cobra.Command) []string {
		return []string{string(api.OffloadOn), string(api.OffloadOff), string(api.OffloadAuto)}
	})
}
