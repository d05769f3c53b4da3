package api_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"vswitch/api"
	"vswitch/api/apitest"
	"vswitch/internal/control/controltest"
)

// replaced is a backend whose Upgrade succeeds once its server stops.
type replaced struct {
	api.Backend
	asked    chan struct{}
	stopping <-chan struct{}
}

func (b *replaced) Upgrade(ctx context.Context, _ api.UpgradeSpec) error {
	close(b.asked)
	select {
	case <-b.stopping:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestStoppingServerAnswersNoMore: who was told that the daemon is replaced must
// not find the old one again, be it by the same connection.
func TestStoppingServerAnswersNoMore(t *testing.T) {
	t.Parallel()
	socket := apitest.Socket(t)
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	b := &replaced{Backend: controltest.New(t), asked: make(chan struct{})}
	server := api.NewServer(b, slog.New(slog.DiscardHandler))
	b.stopping = server.Stopping()
	ended := make(chan error, 2)
	go func() { ended <- server.Serve(l) }()
	go func() {
		<-b.asked
		ended <- server.Shutdown(context.WithoutCancel(t.Context()))
	}()
	c := client(t, socket, 0)
	if err := c.Upgrade(t.Context(), api.UpgradeSpec{}); err != nil {
		t.Errorf("upgrade: %v", err)
	}
	v, err := c.Version(t.Context())
	if _, unreachable := errors.AsType[*api.UnreachableError](err); !unreachable {
		t.Errorf("after the answer the old server says %v, %v; want it out of reach", v, err)
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
