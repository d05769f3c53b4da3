// Package busybox makes a container image of the machine's own busybox, for a Docker
// engine without a registry.
package busybox

import (
	"archive/tar"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// WriteImage writes the root file system of a container to the file path, for docker
// import: the busybox in PATH, which must be statically linked, as /bin/busybox and
// under the names of applets in /bin.
func WriteImage(path string, applets ...string) (err error) {
	binary, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("make an image: %w: install Debian's busybox-static", err)
	}
	if err := checkStatic(binary); err != nil {
		return err
	}
	program, err := os.Open(binary)
	if err != nil {
		return err
	}
	defer program.Close()
	info, err := program.Stat()
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	archive := tar.NewWriter(f)
	if err := archive.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: info.Size()}); err != nil {
		return err
	}
	if _, err := io.Copy(archive, program); err != nil {
		return err
	}
	for _, applet := range applets {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox"}); err != nil {
			return err
		}
	}
	return archive.Close()
}

// checkStatic wants a program that runs where there is no library.
func checkStatic(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s needs libraries: install Debian's busybox-static", path)
		}
	}
	return nil
}
