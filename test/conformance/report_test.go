package conformance

import (
	"encoding/json"
	"strings"
	"testing"
)

func exampleReport() *Report {
	r := new(Report)
	r.column("ours")
	r.column("theirs")
	for _, result := range []Result{
		{Check: "second", Switch: "ours", Status: NotOffered, Remark: "no such flag", order: 1},
		{Check: "first", Switch: "theirs", Status: Failed, order: 0},
		{Check: "second", Switch: "theirs", Status: Passed, order: 1},
		{Check: "first", Switch: "ours", Status: Passed, order: 0},
		{Check: "third", Switch: "theirs", Status: Passed, order: 2},
	} {
		r.add(result)
	}
	return r
}

func TestReportTable(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	if err := exampleReport().WriteTable(&got); err != nil {
		t.Fatal(err)
	}
	want := `CHECK   OURS         THEIRS
first   pass         FAIL
second  not offered  pass
third   -            pass

ours, second: no such flag

ours: 1 passed, 0 failed, 1 not offered
theirs: 2 passed, 1 failed, 0 not offered
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestReportJSON(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := exampleReport().WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 5 || got[0]["check"] != "first" || got[0]["switch"] != "ours" || got[2]["status"] != "not offered" || got[2]["remark"] != "no such flag" {
		t.Errorf("got %s", out.String())
	}
}

func TestAnEmptyReportIsAnArray(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := new(Report).WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	if out.String() != "[]\n" {
		t.Errorf("got %q, want an empty array", out.String())
	}
}
