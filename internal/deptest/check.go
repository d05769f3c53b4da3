package deptest

import (
	"fmt"
	"slices"
	"strings"
)

// Check says which of the imports break the project's rules, one line for each
// with the position, the import and the reason.
func Check(imports []Import) []string {
	var violations []string
	unknown := make(map[string]bool)
	for _, i := range imports {
		at := slices.IndexFunc(rooms, func(r Room) bool { return r.Folder == i.Folder })
		if at < 0 {
			if !unknown[i.Folder] {
				unknown[i.Folder] = true
				violations = append(violations, fmt.Sprintf(
					"%s: folder %s is not a known room: add it to the table in internal/deptest/rules.go, with what it may import and why",
					i.Position, i.Folder))
			}
			continue
		}
		if why := forbidden(rooms[at], i.Path); why != "" {
			violations = append(violations, fmt.Sprintf("%s: %s must not import %s: %s", i.Position, i.Folder, i.Path, why))
		}
	}
	return violations
}

// forbidden is the reason why room must not import path; empty when it may.
func forbidden(room Room, path string) string {
	if path == "" {
		return ""
	}
	if path == module {
		return "the top level is no package"
	}
	if folder, ours := strings.CutPrefix(path, module+"/"); ours {
		if slices.Contains(room.May, folder) || slices.Contains(room.May, anything) {
			return ""
		}
		return room.Why
	}
	for _, rule := range rules {
		if rule.forbids(room.Folder, path) {
			return rule.Why
		}
	}
	for _, list := range allowLists {
		if list.Room == room.Folder && !slices.Contains(list.Imports, path) {
			return list.Why
		}
	}
	return ""
}

func (r Rule) forbids(folder, path string) bool {
	if !slices.ContainsFunc(r.Imports, func(pattern string) bool { return matches(pattern, path) }) {
		return false
	}
	return slices.Contains(r.NotIn, folder) || r.OnlyIn != nil && !slices.Contains(r.OnlyIn, folder)
}

// matches says whether path is pattern, or below it when it ends in "/...".
func matches(pattern, path string) bool {
	above, open := strings.CutSuffix(pattern, "/...")
	return path == above || open && strings.HasPrefix(path, above+"/")
}
