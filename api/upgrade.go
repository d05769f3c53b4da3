package api

import (
	"context"
	"io"
	"net/http"
	"path/filepath"

	"vswitch/internal/wellformed"
)

// UpgradeSpec says by which program the daemon is to be replaced.
type UpgradeSpec struct {
	Binary string `json:"binary,omitempty"` // absolute path; empty is that of the running one, as it is on disk now
}

func (s UpgradeSpec) validate() (UpgradeSpec, error) {
	if s.Binary != "" && (!filepath.IsAbs(s.Binary) || len(s.Binary) > maxPath || !wellformed.Printable(s.Binary)) {
		return s, Invalidf("binary %q: want an absolute path of at most %d bytes", clip(s.Binary), maxPath)
	}
	return s, nil
}

// Upgrade implements [Backend].
func (c *Client) Upgrade(ctx context.Context, binary string) error {
	_, err := call[Version](ctx, c, http.MethodPost, "/v1/upgrade", UpgradeSpec{Binary: binary})
	return err
}

// Backup implements [Backend].
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	copied, err := call[rawBody](ctx, c, http.MethodGet, "/v1/backup", nil)
	if err != nil {
		return err
	}
	_, err = w.Write(copied)
	return err
}
