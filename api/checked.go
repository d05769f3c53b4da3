package api

import "context"

// Checked is b behind the checks that the server makes, for callers in the same
// process that pass on what others have sent them. What it hands to b is in
// canonical form.
func Checked(b Backend) Backend { return checked{b} }

type checked struct{ Backend }

// AddSegment implements [Backend].
func (c checked) AddSegment(ctx context.Context, spec SegmentSpec) (Segment, error) {
	spec, err := spec.validate()
	if err != nil {
		return Segment{}, err
	}
	return c.Backend.AddSegment(ctx, spec)
}

// Segment implements [Backend].
func (c checked) Segment(ctx context.Context, ref string) (Segment, error) {
	if err := validateRef("segment", ref); err != nil {
		return Segment{}, err
	}
	return c.Backend.Segment(ctx, ref)
}

// UpdateSegment implements [Backend].
func (c checked) UpdateSegment(ctx context.Context, ref string, update SegmentUpdate) (Segment, error) {
	update, err := update.validate()
	if err != nil {
		return Segment{}, err
	}
	return c.Backend.UpdateSegment(ctx, ref, update)
}

// DeleteSegment implements [Backend].
func (c checked) DeleteSegment(ctx context.Context, ref string, force bool) (Segment, error) {
	if err := validateRef("segment", ref); err != nil {
		return Segment{}, err
	}
	return c.Backend.DeleteSegment(ctx, ref, force)
}

// AddPort implements [Backend].
func (c checked) AddPort(ctx context.Context, spec PortSpec) (Port, error) {
	spec, err := spec.validate()
	if err != nil {
		return Port{}, err
	}
	return c.Backend.AddPort(ctx, spec)
}

// Port implements [Backend].
func (c checked) Port(ctx context.Context, ref string) (Port, error) {
	if err := validateRef("port", ref); err != nil {
		return Port{}, err
	}
	return c.Backend.Port(ctx, ref)
}

// UpdatePort implements [Backend].
func (c checked) UpdatePort(ctx context.Context, ref string, update PortUpdate) (Port, error) {
	update, err := update.validate()
	if err != nil {
		return Port{}, err
	}
	return c.Backend.UpdatePort(ctx, ref, update)
}

// DeletePort implements [Backend].
func (c checked) DeletePort(ctx context.Context, ref string) (Port, error) {
	if err := validateRef("port", ref); err != nil {
		return Port{}, err
	}
	return c.Backend.DeletePort(ctx, ref)
}

// Publish implements [Backend].
func (c checked) Publish(ctx context.Context, port string, spec PublishSpec) (Published, error) {
	spec, err := spec.validate()
	if err != nil {
		return Published{}, err
	}
	return c.Backend.Publish(ctx, port, spec)
}

// Unpublish implements [Backend].
func (c checked) Unpublish(ctx context.Context, port string, key PublishedKey) (Published, error) {
	key, err := key.validate()
	if err != nil {
		return Published{}, err
	}
	return c.Backend.Unpublish(ctx, port, key)
}
