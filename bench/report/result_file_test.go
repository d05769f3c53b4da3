package report

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestResultSurvivesItsFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "result.json")
	want := synthetic()
	for range 2 { // the second replaces the first
		if err := want.Write(path); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadResult(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read back\n%+v\nwant\n%+v", got, want)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("%v, %v beside the result", files, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(text, []byte("\n")); lines > 16*len(want.Series) {
		t.Errorf("%d lines for %d series: too many to look at a difference", lines, len(want.Series))
	}
}

func TestWriteRefusesWhatItCouldNotRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "result.json")
	r := synthetic()
	r.Series[0].Values[1] = math.NaN()
	if err := r.Write(path); err == nil || !strings.Contains(err.Error(), "rtt_p50 of vswitch-adaptive in ping, interval=3ms: value NaN") {
		t.Errorf("%v, want it to name the series and the value", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it wrote a file all the same")
	}
	if err := synthetic().Write(filepath.Join(path, "none", "result.json")); err == nil {
		t.Error("no error for a folder that is not there")
	}
}

func TestReadResultRefuses(t *testing.T) {
	t.Parallel()
	series := func(s string) string {
		return `{"schema":1,"settings":{"rounds":2},"series":[{"scenario":"tcp","peer":"relay","metric":"rate","unit":"Gb/s","better":"higher",` + s + `}]}`
	}
	for _, test := range []struct{ name, text, want string }{
		{"empty", "", "line 1: not JSON"},
		{"text", "hello", "line 1: not JSON"},
		{"array", "[]", "array"},
		{"cut off", "{\"schema\":1,\n\"series\":[", "line 2: not JSON"},
		{"two documents", `{"schema":1}{"schema":1}`, "line 1: not JSON"},
		{"no schema", `{"series":[]}`, `no "schema"`},
		{"later schema", `{"schema":2,"series":"elsewhere"}`, "schema 2, want 1: use the vsbench that wrote it"},
		{"schema of another type", `{"schema":"1"}`, `"schema" is a string, want int`},
		{"type", "{\"schema\":1,\n\"series\":[{\"values\":[\"fast\"]}]}", "line 2:"},
		{"overflow", series(`"values":[1e999]`), "1e999"},
		{"huge", series(`"values":[1e300]`), "value 1e+300"},
		{"tiny", series(`"values":[1e-300]`), "value 1e-300"},
		{"too many values", series(`"values":[1,2,3]`), "3 values in 2 rounds"},
		{"sample of one", series(`"sample":[1]`), "sample of 1 quantiles"},
		{"falling sample", series(`"sample":[2,1]`), "rising order"},
		{"direction", strings.Replace(series(`"values":[1]`), `"higher"`, `"up"`, 1), `better is "up", want "higher" or "lower"`},
		{"no peer", strings.Replace(series(`"values":[1]`), `"relay"`, `""`, 1), "series 0: no peer"},
		{"control character", strings.Replace(series(`"values":[1]`), `"relay"`, `"re\u001blay"`, 1), `"re\x1blay": want printable`},
		{"long name", strings.Replace(series(`"values":[1]`), `"relay"`, `"`+strings.Repeat("x", 129)+`"`, 1), "129 bytes, want at most 128"},
		{"name of a failure", `{"schema":1,"failures":[{"peer":"a\nb"}]}`, "failure 0:"},
		{"negative rounds", `{"schema":1,"settings":{"rounds":-1}}`, "-1 rounds"},
		{"peers", `{"schema":1,"settings":{"peers":["` + peerList(65) + `"]}}`, "65 peers, want at most 64"},
		{"twice", `{"schema":1,"settings":{"rounds":2},"series":[` + strings.Repeat(`{"scenario":"s","peer":"p","metric":"m","unit":"u","better":"lower"},`, 2) +
			`{"scenario":"t","peer":"p","metric":"m","unit":"u","better":"lower"}]}`, "series 1: m of p in s occurs twice"},
		{"too many series", `{"schema":1,"series":[` + strings.Repeat(`{},`, maxSeries) + `{}]}`, "20001 series"},
		{"deep", strings.Repeat("[", 100_000), "not JSON"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "odd.json")
			if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := ReadResult(path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with the file and %q", err, test.want)
			}
		})
	}
	if _, err := ReadResult(filepath.Join(t.TempDir(), "none.json")); err == nil || !strings.Contains(err.Error(), "none.json") {
		t.Errorf("no such file: %v, want its name", err)
	}
	if _, err := ReadResult(t.TempDir()); err == nil {
		t.Error("no error for a folder")
	}
}

func peerList(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = "p" + strings.Repeat("x", i)
	}
	return strings.Join(names, `","`)
}

// Whatever can be read can be shown.
func FuzzParseResult(f *testing.F) {
	for _, r := range []*Result{odd(), noisyRun(1, 4, 0.1, 1)} {
		path := filepath.Join(f.TempDir(), "result.json")
		if err := r.Write(path); err != nil {
			f.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"schema":1,"series":[{"scenario":"a","case":"n=1,n=","x":1,"peer":"p","metric":"_p5","unit":"us","better":"lower","sample":[-1,0]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseResult(data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("error of more than a line: %q", err)
			}
			return
		}
		var b bytes.Buffer
		if err := WriteTable(&b, r); err != nil {
			t.Error(err)
		}
		if bytes.ContainsRune(b.Bytes(), '\x1b') {
			t.Error("a control character in the table")
		}
		b.Reset()
		if err := WriteMarkdown(&b, r, "plots"); err != nil {
			t.Error(err)
		}
		if _, err := replacePart(b.Bytes(), nil); err != nil {
			t.Errorf("the text has marks in it: %v", err)
		}
		if err := Compare(r, r).WriteJSON(&b); err != nil {
			t.Error(err)
		}
	})
}
