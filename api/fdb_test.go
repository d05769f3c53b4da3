package api_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/api/apitest"
	"vswitch/internal/control/controltest"
	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

// A flush takes what was learned, and neither it nor a delete a port's own address.
func TestKindsOfEntry(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), controltest.New(t, "a")
	c := client(t, apitest.Serve(t, b), 0)
	p, err := c.AddPort(ctx, api.PortSpec{
		Name: "a", NetNS: "a", MAC: macOf("02:00:00:00:00:0a"), Security: api.SecurityOff,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddFDB(ctx, "bridge", api.FDBSpec{MAC: macOf("02:00:00:00:00:bb"), Port: "a"}); err != nil {
		t.Fatal(err)
	}
	b.Send("a", switchtest.Frame(frame.Broadcast, macOf("06:00:00:00:00:0a"), "here I am"))
	want := []api.FDBEntry{
		{Segment: "bridge", MAC: p.MAC, Port: "a", Kind: api.Own},
		{Segment: "bridge", MAC: macOf("02:00:00:00:00:bb"), Port: "a", Kind: api.Static},
		{Segment: "bridge", MAC: macOf("02:42:ac:11:00:01"), Port: "gateway", Kind: api.Own},
		{Segment: "bridge", MAC: macOf("06:00:00:00:00:0a"), Port: "a", Kind: api.Dynamic},
	}
	wantFDB(t, c, want)

	if flushed, err := c.FlushFDB(ctx, "bridge", api.FDBFlush{}); err != nil || flushed.Flushed != 1 {
		t.Errorf("flush: got %+v, %v, want the dynamic entry gone", flushed, err)
	}
	wantFDB(t, c, want[:3])
	_, err = c.DeleteFDB(ctx, "bridge", p.MAC)
	if api.KindOf(err) != api.Conflict || !strings.Contains(err.Error(), "is port \"a\"'s own address") {
		t.Errorf("delete the own entry: got %v, want a conflict", err)
	}
	wantFDB(t, c, want[:3])
	if _, err := c.DeletePort(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	wantFDB(t, c, want[2:3])
}

func wantFDB(t *testing.T, c *api.Client, want []api.FDBEntry) {
	t.Helper()
	got, err := c.FDB(context.Background(), "bridge")
	for i := range got {
		got[i].AgeSeconds = 0 // as old as the test is
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
