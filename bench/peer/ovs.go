package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"vswitch/bench/load"
	"vswitch/test/lab"
)

// ovs is Open vSwitch with its userspace datapath: with TAP ports, which it calls
// internal, or with veth pairs and TCP segmentation offload
// (Documentation/intro/install/userspace.rst and topics/userspace-tso.rst).
type ovs struct{ tso bool }

func (p ovs) Name() string {
	if p.tso {
		return "ovs-tso"
	}
	return "ovs"
}

// Limits leaves out the thousand ports in a row: each ovs-vsctl takes longer the more
// ports there are, some 0.4 s with 400 of them. Each learned address that is sent to becomes a
// flow, of which it carries few tens of thousands in a second.
func (p ovs) Limits() Limits {
	return Limits{
		Ports: 1024, Changing: 100, Open: true, Addresses: 100_000, Single: true, Unrated: true,
	}
}

func (p ovs) Available(*Lab) error {
	if err := wantPrograms("openvswitch-switch", "ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl"); err != nil {
		return err
	}
	if _, err := os.Stat(ovsSchema); err != nil {
		return fmt.Errorf("not installed: no %s: install Debian's openvswitch-switch (make bench-deps)", ovsSchema)
	}
	return wantTUN()
}

const ovsSchema = "/usr/share/openvswitch/vswitch.ovsschema"

// Start runs a database and a daemon of the stage's own: all that they and their
// tools write is in the stage's directory.
func (p ovs) Start(ctx context.Context, l *Lab, n Needs) (Fabric, error) {
	f := &ovsFabric{lab: l, tso: p.tso, ports: make(map[load.Endpoint]string)}
	for _, name := range []string{"OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"} {
		f.env = append(f.env, name+"="+l.Dir())
	}
	err := f.start(ctx)
	if err == nil && n.Addresses > 0 {
		// Of the default 8,192 too few would be left (ovs-vswitchd.conf.db(5)).
		err = f.vsctl(ctx, "set", "bridge", ovsBridge, fmt.Sprintf("other_config:mac-table-size=%d", n.room()), "other_config:mac-aging-time=3600")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

type ovsFabric struct {
	lab      *Lab
	tso      bool
	env      []string
	database *lab.Process
	daemon   *lab.Process
	ports    map[load.Endpoint]string // names of ports
	made     int                      // ports made so far, for their names
}

const ovsBridge = "br0"

func (f *ovsFabric) start(ctx context.Context) error {
	file, socket := filepath.Join(f.lab.Dir(), "conf.db"), filepath.Join(f.lab.Dir(), "db.sock")
	if err := f.tool(ctx, "ovsdb-tool", "create", file, ovsSchema); err != nil {
		return err
	}
	var err error
	f.database, err = f.run("ovsdb-server", file, "--remote=punix:"+socket, "--pidfile")
	if err != nil {
		return err
	}
	if err := f.waitFor(ctx, f.database, socket); err != nil {
		return err
	}
	if err := f.vsctl(ctx, "--no-wait", "init"); err != nil {
		return err
	}
	if f.tso {
		if err := f.vsctl(ctx, "--no-wait", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true"); err != nil {
			return err
		}
	}
	if f.daemon, err = f.run("ovs-vswitchd", "unix:"+socket, "--pidfile"); err != nil {
		return err
	}
	// Without --no-wait ovs-vsctl returns when the daemon has done it.
	return f.vsctl(ctx, "add-br", ovsBridge, "--", "set", "bridge", ovsBridge, "datapath_type=netdev", "fail-mode=standalone")
}

// waitFor returns when p has made its socket.
func (f *ovsFabric) waitFor(ctx context.Context, p *lab.Process, socket string) error {
	return Poll(ctx, filepath.Base(socket)+" to appear", func() (bool, error) {
		if err := p.Err(); err != nil {
			return false, err
		}
		_, err := os.Stat(socket)
		return err == nil, nil
	})
}

func (f *ovsFabric) run(name string, args ...string) (*lab.Process, error) {
	path, err := FindProgram(name)
	if err != nil {
		return nil, err
	}
	argv := append([]string{path, "-vconsole:warn", "-vsyslog:off"}, args...)
	return f.lab.Start(f.lab.Host(), f.env, argv...)
}

func (f *ovsFabric) tool(ctx context.Context, name string, args ...string) error {
	path, err := FindProgram(name)
	if err != nil {
		return err
	}
	_, err = f.lab.Run(ctx, f.lab.Host(), f.env, append([]string{path}, args...)...)
	return err
}

func (f *ovsFabric) vsctl(ctx context.Context, args ...string) error {
	return f.tool(ctx, "ovs-vsctl", append([]string{"--timeout=60", "-vsyslog:off"}, args...)...)
}

// ovsBatch is how many ports one ovs-vsctl adds: its arguments have a limit.
const ovsBatch = 128

func (f *ovsFabric) Attach(ctx context.Context, endpoints ...load.Endpoint) error {
	for len(endpoints) > 0 {
		n := min(len(endpoints), ovsBatch)
		if err := f.attach(ctx, endpoints[:n]); err != nil {
			return err
		}
		endpoints = endpoints[n:]
	}
	return nil
}

// attach adds ports as access ports of a VLAN for each segment, and moves them.
func (f *ovsFabric) attach(ctx context.Context, endpoints []load.Endpoint) error {
	var args, veths []string
	links := make([]string, len(endpoints)) // to be moved
	for i, e := range endpoints {
		f.made++
		port := fmt.Sprintf("port%d", f.made)
		f.ports[e], links[i] = port, port
		args = append(args, "--", "add-port", ovsBridge, port, fmt.Sprintf("tag=%d", e.Segment+1))
		if f.tso {
			links[i] = "c" + port
			veths = append(veths, "link add "+port+" type veth peer name "+links[i], "link set "+port+" up")
		} else {
			args = append(args, "--", "set", "interface", port, "type=internal")
		}
	}
	if f.tso {
		if err := ipBatch(f.lab.Host(), veths...); err != nil {
			return fmt.Errorf("make veth pairs: %w", err)
		}
	}
	if err := f.vsctl(ctx, args[1:]...); err != nil {
		return fmt.Errorf("add ports: %w", err)
	}
	for i, e := range endpoints {
		if err := adopt(f.lab.Host(), links[i], e); err != nil {
			return fmt.Errorf("move port to %s: %w", e.Namespace, err)
		}
	}
	return nil
}

func (f *ovsFabric) Detach(ctx context.Context, e load.Endpoint) error {
	port, ok := f.ports[e]
	if !ok {
		return fmt.Errorf("no port of %s", e.Namespace)
	}
	delete(f.ports, e)
	err := f.vsctl(ctx, "del-port", ovsBridge, port)
	if f.tso {
		err = errors.Join(err, ipBatch(f.lab.Host(), "link del "+port))
	}
	return err
}

func (f *ovsFabric) Processes() []int {
	return []int{f.daemon.Pid(), f.database.Pid()}
}

func (f *ovsFabric) Close() error {
	var err error
	for _, p := range []*lab.Process{f.daemon, f.database} {
		if p != nil {
			err = errors.Join(err, p.Err(), p.Stop())
		}
	}
	var commands []string
	for _, port := range f.ports {
		commands = append(commands, "link del "+port)
	}
	if f.tso && len(commands) > 0 {
		err = errors.Join(err, ipBatch(f.lab.Host(), commands...))
	}
	return err
}
