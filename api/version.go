package api

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// APIVersion is the version of the interface, the first element of every path.
const APIVersion = "v1"

// revision is the commit that the program was built from, with "-dirty" if the work tree
// differed from it. The linker sets it: -ldflags "-X vswitch/api.revision=...".
var revision string

// BuildVersion describes the running program. linked is the version set by the
// linker (-ldflags "-X main.version=..."); when it is empty the module's own is
// taken, "(devel)" in a build from a work tree. The revision is the linker's too,
// or else the one that the go command has stamped.
func BuildVersion(linked string) Version {
	v := Version{Version: linked, GoVersion: runtime.Version(), API: APIVersion}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		v.Version = cmp.Or(v.Version, "(devel)")
		return v
	}
	v.Version = cmp.Or(v.Version, info.Main.Version, "(devel)")
	dirty := false
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Revision = setting.Value
		case "vcs.modified":
			dirty = setting.Value == "true"
		}
	}
	if dirty && v.Revision != "" {
		v.Revision += "-dirty"
	}
	v.Revision = cmp.Or(revision, v.Revision)
	return v
}
