package api

import (
	"cmp"
	"net/netip"
	"strings"
)

// MaxPublished is how many ports one publication may have.
const MaxPublished = 1024

// PublishedKey names what a port publishes.
type PublishedKey struct {
	HostIP    netip.Addr // the zero Addr is all addresses of the host
	HostPorts PortRange
	Protocol  Protocol // empty is [ProtocolTCP]
}

// String is the publication in the notation of "docker run -p".
func (p Published) String() string {
	return p.HostIP.String() + ":" + p.HostPorts.String() + ":" + p.Ports.String() + "/" + string(p.Protocol)
}

// publishForm tells how a publication is written; only IPv4 has room in it.
const publishForm = "[HOSTIP:]HOSTPORT:PORT[/tcp|udp], such as 8080:80 or 127.0.0.1:8000-8010:8000-8010/udp"

// ParsePublish reads what "docker run -p" does: [[HOSTIP:][HOSTPORT]:]PORT[/PROTOCOL],
// where a port may be a range.
func ParsePublish(text string) (PublishSpec, error) {
	fields, protocol, err := splitPublish(text)
	if err != nil {
		return PublishSpec{}, err
	}
	n := len(fields)
	if n == 2 && fields[0] == "" || n == 3 && fields[0] == "" {
		return PublishSpec{}, Invalidf("publication %q: want %s", clip(text), publishForm)
	}
	spec := PublishSpec{Protocol: protocol}
	if spec.Ports, err = ParsePorts(fields[n-1]); err != nil {
		return spec, err
	}
	if n > 1 && fields[n-2] != "" {
		if spec.HostPorts, err = ParsePorts(fields[n-2]); err != nil {
			return spec, err
		}
	}
	if n > 2 {
		if spec.HostIP, err = parseHostIP(fields[0]); err != nil {
			return spec, err
		}
	}
	return spec.validate()
}

// ParsePublished reads [HOSTIP:]HOSTPORT[:PORT][/PROTOCOL], so that what was given
// to publish, or less, names the publication again. The container's port is not
// looked at.
func ParsePublished(text string) (PublishedKey, error) {
	fields, protocol, err := splitPublish(text)
	if err != nil {
		return PublishedKey{}, err
	}
	hostIP, hostPorts := "", fields[0]
	if len(fields) == 3 || len(fields) == 2 && strings.Contains(fields[0], ".") {
		hostIP, hostPorts = fields[0], fields[1]
	}
	return parsePublishedKey(hostIP, hostPorts, protocol)
}

// parsePublishedKey reads the parts of a key; an empty hostIP is all addresses of the host.
func parsePublishedKey(hostIP, hostPorts string, protocol Protocol) (PublishedKey, error) {
	key := PublishedKey{Protocol: protocol}
	var err error
	if key.HostPorts, err = ParsePorts(hostPorts); err != nil {
		return key, err
	}
	if hostIP != "" {
		if key.HostIP, err = parseHostIP(hostIP); err != nil {
			return key, err
		}
	}
	return key.validate()
}

func parseHostIP(s string) (netip.Addr, error) {
	host, err := netip.ParseAddr(s)
	if err != nil {
		return host, Invalidf("host address %q: want an IPv4 address of the host, such as 127.0.0.1", clip(s))
	}
	return host, nil
}

func splitPublish(text string) (fields []string, protocol Protocol, err error) {
	rest, name, given := strings.Cut(text, "/")
	fields = strings.Split(rest, ":")
	if given && name == "" || len(fields) > 3 || fields[len(fields)-1] == "" {
		return nil, "", Invalidf("publication %q: want %s", clip(text), publishForm)
	}
	return fields, Protocol(name), nil
}

// validate returns the spec in canonical form with its defaults filled in, or an
// error of what is wrong with it.
func (s PublishSpec) validate() (PublishSpec, error) {
	n := s.Ports.Len()
	if err := s.Ports.validate(); err != nil {
		return s, err
	}
	switch {
	case n == 0:
		return s, Invalidf("ports %q: want one of 1 to 65535, or a range such as 8000-8080", s.Ports)
	case n > MaxPublished:
		return s, Invalidf("ports %q are %d: want at most %d at once", s.Ports, n, MaxPublished)
	case s.HostPorts == PortRange{} && n > 1:
		return s, Invalidf("ports %q without ports of the host: give %d of them as well", s.Ports, n)
	case s.HostPorts != PortRange{} && s.HostPorts.Len() != n:
		return s, Invalidf("ports %q of the host for ports %q: want as many", s.HostPorts, s.Ports)
	}
	key, err := PublishedKey{HostIP: s.HostIP, HostPorts: s.HostPorts, Protocol: s.Protocol}.validate()
	s.HostIP, s.Protocol = key.HostIP, key.Protocol
	return s, err
}

// validate returns the key in canonical form.
func (k PublishedKey) validate() (PublishedKey, error) {
	k.Protocol = cmp.Or(k.Protocol, ProtocolTCP)
	if k.Protocol != ProtocolTCP && k.Protocol != ProtocolUDP {
		return k, Invalidf("protocol %q: want tcp or udp", clip(string(k.Protocol)))
	}
	if err := k.HostPorts.validate(); err != nil {
		return k, err
	}
	switch host := k.HostIP; {
	case !host.IsValid():
	case !host.Is4():
		return k, Unsupportedf("host address %q: only IPv4 is supported, such as 127.0.0.1", clip(host.String()))
	case host.IsMulticast():
		return k, Invalidf("host address %s: want a unicast address of the host", host)
	case host.IsUnspecified():
		k.HostIP = netip.Addr{}
	}
	return k, nil
}
