package lab

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// Build builds vswitchd and vsctl into dir, vswitchd with the race detector if the
// test has it. It needs the go command and a directory inside the module.
func Build(dir string) error {
	for _, name := range []string{"vswitchd", "vsctl"} {
		argv := []string{"build", "-buildvcs=false", "-o", filepath.Join(dir, name)}
		if RaceDetector && name == "vswitchd" {
			argv = append(argv, "-race")
		}
		if out, err := exec.Command("go", append(argv, "vswitch/cmd/"+name)...).CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", name, err, out)
		}
	}
	return nil
}
