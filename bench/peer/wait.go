package peer

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Patience is the longest time that a peer may take to get ready or to let frames through.
const Patience = 15 * time.Second

// Poll calls done every 5 ms until it returns true or an error. It is an error if that takes
// longer than [Patience] or if ctx ends before; what says in the error what was waited for. It
// is for what other programs do without an event that can be awaited.
func Poll(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-ticker.C:
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
