package api

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// APIVersion is the version of the interface, the first element of every path.
const APIVersion = "v1"

// BuildVersion describes the running program. linked is the version set by the
// linker (-ldflags "-X main.version=..."); when it is empty the module's own is
// taken, "(devel)" in a build from a work tree.
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
	return v
}
