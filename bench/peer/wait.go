package peer

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Patience is how long a peer may take to get ready, or to let frames through.
const Patience = 15 * time.Second

// Poll asks until it is so. It is for what other programs do without telling.
func Poll(ctx context.Context, what string, so func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		ok, err := so()
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
