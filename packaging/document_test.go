package packaging

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// docPath is where make install puts the documentation, as the repository lays it out.
const docPath = "usr/share/doc/vswitch/"

// documents are the files of the repository that belong to the installed documentation.
func documents(t *testing.T) []string {
	t.Helper()
	names := []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "api/openapi.yaml"}
	for _, directory := range []string{"docs", "examples"} {
		err := fs.WalkDir(os.DirFS(".."), directory, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && !strings.HasSuffix(name, "_test.go") {
				names = append(names, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// TestLinks: no link of the repository's pages is dead.
func TestLinks(t *testing.T) {
	t.Parallel()
	checkLinks(t, os.DirFS(".."), append(pages(documents(t)),
		".github/pull_request_template.md", ".github/ISSUE_TEMPLATE/bug.md", ".github/ISSUE_TEMPLATE/feature.md"))
}

// testDocumentation: no link of the installed pages is dead.
func (tr tree) testDocumentation(t *testing.T) {
	checkLinks(t, os.DirFS(tr.path(docPath)), pages(documents(t)))
}

func pages(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return path.Ext(name) != ".md" })
}

var (
	fence   = regexp.MustCompile("(?ms)^[ \\t]*```.*?^[ \\t]*```[ \\t]*$")
	code    = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// checkLinks holds the links of pages below root, but for those to other sites, against the files
// and the headings that they name.
func checkLinks(t *testing.T, root fs.FS, names []string) {
	t.Helper()
	found := 0
	for _, name := range names {
		text := page(t, root, name)
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			found++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			if _, err := fs.Stat(root, target); err != nil {
				t.Errorf("%s has a dead link: %s", name, m[1])
			} else if anchor != "" && !slices.Contains(anchors(page(t, root, target)), anchor) {
				t.Errorf("%s has a link to a heading that is not there: %s", name, m[1])
			}
		}
	}
	if found < len(names) {
		t.Errorf("%d links on %d pages: are they all read?", found, len(names))
	}
}

// page is a page without its examples, whose lines are no headings and no links.
func page(t *testing.T, root fs.FS, name string) string {
	t.Helper()
	text, err := fs.ReadFile(root, name)
	if err != nil {
		t.Fatal(err)
	}
	return fence.ReplaceAllString(string(text), "")
}

// anchors are those that GitHub gives to a page's headings.
func anchors(text string) []string {
	var names []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		names = append(names, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return names
}

// maxColumns is how long a line of prose may be.
const maxColumns = 100

// TestColumns: pages can be read as they are. A row of a table and a link may be longer, and so
// are the benchmark's tables and the text around them.
func TestColumns(t *testing.T) {
	t.Parallel()
	for _, name := range pages(documents(t)) {
		if name == "docs/benchmarks.md" {
			continue
		}
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			table := strings.HasPrefix(strings.TrimSpace(line), "|")
			if n := len([]rune(line)); n > maxColumns && !table && !strings.HasPrefix(line, "![") {
				t.Errorf("%s:%d has %d columns: break it at %d", name, i+1, n, maxColumns)
			}
		}
	}
}
