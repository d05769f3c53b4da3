package deptest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// An Import is one import clause of a Go file.
type Import struct {
	// Position is the file's path below the top level and the line: "tap/tap.go:12".
	Position string
	// Folder is the file's folder below the top level; "." for the top level.
	Folder string
	// Path is what is imported; empty for a file without imports, so that its
	// folder is known.
	Path string
}

// Scan reads the imports of all Go files in the project whose top level is
// root. It leaves out tests and what the go command leaves out: testdata,
// vendor, and names that begin with a dot or an underscore.
func Scan(root fs.FS) ([]Import, error) {
	var imports []Import
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ignored(name, entry.Name()) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		found, err := scanFile(root, name)
		imports = append(imports, found...)
		return err
	})
	return imports, err
}

func ignored(name, base string) bool {
	if name == "." {
		return false
	}
	return base[0] == '.' || base[0] == '_' || base == "testdata" || base == "vendor"
}

func scanFile(root fs.FS, name string) ([]Import, error) {
	source, err := fs.ReadFile(root, name)
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.ImportsOnly)
	if err != nil {
		return nil, fmt.Errorf("read imports: %w", err)
	}
	folder := path.Dir(name)
	if len(file.Imports) == 0 {
		return []Import{{Position: name + ":1", Folder: folder}}, nil
	}
	var imports []Import
	for _, clause := range file.Imports {
		imported, err := strconv.Unquote(clause.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("read import %s of %s: %w", clause.Path.Value, name, err)
		}
		line := set.Position(clause.Pos()).Line
		imports = append(imports, Import{fmt.Sprintf("%s:%d", name, line), folder, imported})
	}
	return imports, nil
}
