package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteMarkdown(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*Result{"report.md": synthetic(), "report-odd.md": odd()} {
		var b bytes.Buffer
		if err := WriteMarkdown(&b, r, "benchmark plots"); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
		for _, p := range Plots(r) {
			if link := "](benchmark%20plots/" + p.Name + ".svg)"; strings.Count(b.String(), link) != 1 {
				t.Errorf("%s: not one link %s", name, link)
			}
		}
		if strings.Contains(strings.ReplaceAll(b.String(), `\|`, ""), "| reset") {
			t.Errorf("%s: an error's text breaks the markup", name)
		}
	}
	var b bytes.Buffer
	if err := WriteMarkdown(&b, synthetic(), ""); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "![") {
		t.Error("a link to plots that nobody drew")
	}
}

func TestUpdateMarkdown(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	update := func() string {
		t.Helper()
		if err := UpdateMarkdown(path, odd(), "plots"); err != nil {
			t.Fatal(err)
		}
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(page)
	}
	made := update()
	if !strings.HasPrefix(made, markdownBegin) || !strings.HasSuffix(made, markdownEnd+"\n") {
		t.Fatalf("a page that was not there became\n%s", made)
	}
	before, after := "# By hand\n\n", "\n\nWhat bounds each figure: by hand too, without a last newline"
	if err := os.WriteFile(path, []byte(before+markdownBegin+"\nold\n"+markdownEnd+after), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	want := before + strings.TrimSuffix(made, "\n") + after
	for range 2 {
		if got := update(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want that it had", info.Mode(), err)
	}
}

// A failure's text must not end the generated part.
func TestUpdateMarkdownWithMarksInText(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	r := odd()
	r.Failures[0].Error = markdownEnd + markdownBegin
	for range 2 {
		if err := UpdateMarkdown(path, r, "plots"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUpdateMarkdownRefuses(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]string{
		"no marks":   "# Page\n",
		"no end":     "# Page\n" + markdownBegin + "\n",
		"two parts":  strings.Repeat(markdownBegin+"\n"+markdownEnd+"\n", 2),
		"wrong turn": markdownEnd + "\n" + markdownBegin + "\n",
	} {
		path := filepath.Join(t.TempDir(), "page.md")
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		err := UpdateMarkdown(path, odd(), "plots")
		if err == nil || !strings.Contains(err.Error(), "want") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line that says what is wanted", name, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != page {
			t.Errorf("%s: the page changed all the same", name)
		}
	}
}
