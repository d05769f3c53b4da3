package manual

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestEachCommandHasAPage(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	run := func(*cobra.Command, []string) {}
	root := &cobra.Command{Use: "tool", Short: "Do things"}
	root.AddCommand(&cobra.Command{Use: "mend THING", Short: "Mend a thing", Run: run})
	dir := t.TempDir()
	if err := write(root, "8", "v1.2", []string{dir}); err != nil {
		t.Fatal(err)
	}
	for page, want := range map[string]string{"tool.8": "Do things", "tool-mend.8": "Mend a thing"} {
		text, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{want, "vswitch v1.2", "1970"} {
			if !strings.Contains(string(text), s) {
				t.Errorf("%s has no %q:\n%s", page, s, text)
			}
		}
	}
}

func TestOneDirectoryIsWanted(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"a", "b"}} {
		if err := write(&cobra.Command{Use: "tool"}, "1", "v1", args); err == nil || !strings.Contains(err.Error(), "want one DIRECTORY") {
			t.Errorf("%q: got error %v, want that one directory is wanted", args, err)
		}
	}
}
