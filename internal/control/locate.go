package control

import (
	"context"
	"errors"
	"strings"

	"vswitch/api"
	"vswitch/internal/control/kernel"
	"vswitch/internal/control/model"
	"vswitch/internal/netns"
)

// locator finds the namespaces that clients name.
type locator struct{ *core }

// locate opens the namespace that spec names in the world of whoever asks, and has spec name it
// as a restart of the daemon finds it. It returns nil for an interface that others move. No lock
// may be held: what a path leads through is not ours, and may take its time.
func (l locator) locate(ctx context.Context, spec *api.PortSpec) (kernel.Namespace, error) {
	if spec.Handover {
		return nil, nil
	}
	ref, err := refOf(spec.NetNS, spec.PID)
	if err != nil {
		return nil, err
	}
	var asker kernel.Asker // nil: we ourselves
	if peer := api.PeerOf(ctx); peer != nil {
		asker = peer
	}
	ns, here, err := l.kernel.Locate(asker, ref)
	if err != nil {
		return nil, kernelError(err)
	}
	spec.NetNS, spec.PID = here.String(), 0
	if pid := here.Process(); pid > 0 {
		spec.NetNS, spec.PID = "", pid
	}
	err = checkOwn(l.kernel, ns, spec.AllowHostNetNS, ref.String())
	if err == nil && spec.ResolvConf && (spec.NetNS == "" || strings.HasPrefix(spec.NetNS, "/")) {
		err = api.Invalidf("network namespace %q has no name where vswitchd runs, for which a "+
			"resolv.conf could be written: name one of \"ip netns list\" there", ref)
	}
	if err != nil {
		_ = ns.Close()
		return nil, err
	}
	return ns, nil
}

// refOf returns what means a namespace by its name or path, or else by a process in it.
func refOf(named string, pid int) (netns.Ref, error) {
	if named == "" {
		return netns.PID(pid), nil
	}
	ref, err := netns.ParseRef(named)
	if err != nil {
		return ref, api.Invalidf("%w", err)
	}
	return ref, nil
}

// locateHandover has update name the namespace that an interface is going to be moved to, if it
// names one, as the daemon finds it. That may not be there yet.
func (l locator) locateHandover(ctx context.Context, update *api.PortUpdate) error {
	if update.NetNS == nil || *update.NetNS == "" {
		return nil
	}
	spec := api.PortSpec{NetNS: *update.NetNS}
	ns, err := l.locate(ctx, &spec)
	switch {
	case errors.Is(err, errOwnNamespace):
		return err
	case err != nil:
		return nil //nolint:nilerr // it stays as it is named
	}
	_ = ns.Close()
	here := spec.NetNS
	if spec.PID > 0 {
		here = netns.PID(spec.PID).String()
	}
	update.NetNS = &here
	return nil
}

// errOwnNamespace says that a namespace is the daemon's own, where nothing is attached unless
// somebody asks for just that.
var errOwnNamespace = errors.New("vswitchd's own network namespace")

// checkOwn returns an [errOwnNamespace] if ns, named so, is the daemon's own, unless that is
// allowed.
func checkOwn(k kernel.Kernel, ns kernel.Namespace, allowed bool, named string) error {
	if allowed {
		return nil
	}
	own, err := k.OwnNamespace()
	if err != nil {
		return err
	}
	defer own.Close()
	if own.ID() != ns.ID() {
		return nil
	}
	return api.Invalidf("network namespace %q is %w, the host's: name a container's, "+
		"or say --allow-host-netns to attach the host itself", named, errOwnNamespace)
}

// isNamed reports whether the port's namespace has a name or a path of its own, under which
// another may take its place. The id of a process that has ended means nothing.
func isNamed(r model.Port) bool {
	return r.NetNS != "" && !strings.HasPrefix(r.NetNS, "/proc/")
}
