package api

import (
	"net/netip"
	"strings"
)

// MaxPublished is how many ports one publication may have.
const MaxPublished = 1024

// PublishSpec asks for ports of the host to lead to as many of a container.
type PublishSpec struct {
	HostIP    string `json:"host_ip,omitempty"`    // an IPv4 address of the host; empty: all of them
	HostPorts string `json:"host_ports,omitempty"` // N or N-M; empty: one that is free
	Ports     string `json:"ports"`                // N or N-M, of the container
	Protocol  string `json:"protocol,omitempty"`   // [ProtocolTCP], if empty, or [ProtocolUDP]
}

// PublishedKey names what a port publishes.
type PublishedKey struct {
	HostIP    string // as in [PublishSpec]
	HostPorts string
	Protocol  string
}

// Published is what a port publishes.
type Published struct {
	Port      string     `json:"port"` // name
	PortID    string     `json:"port_id"`
	Segment   string     `json:"segment"` // name
	HostIP    netip.Addr `json:"host_ip"` // 0.0.0.0: all addresses of the host
	HostPorts string     `json:"host_ports"`
	IP        netip.Addr `json:"ip"` // of the container
	Ports     string     `json:"ports"`
	Protocol  string     `json:"protocol"`
	Reason    string     `json:"reason,omitempty"` // why it is not reachable; empty: it is
}

// String is the publication in the notation of "docker run -p".
func (p Published) String() string {
	return p.HostIP.String() + ":" + p.HostPorts + ":" + p.Ports + "/" + p.Protocol
}

// publishForm tells how a publication is written; only IPv4 has room in it.
const publishForm = "[HOSTIP:]HOSTPORT:PORT[/tcp|udp], such as 8080:80 or 127.0.0.1:8000-8010:8000-8010/udp"

// ParsePublish reads what "docker run -p" does: [[HOSTIP:][HOSTPORT]:]PORT[/PROTOCOL],
// where a port may be a range. What it returns still has to be valid.
func ParsePublish(text string) (PublishSpec, error) {
	fields, protocol, err := splitPublish(text)
	if err != nil {
		return PublishSpec{}, err
	}
	spec := PublishSpec{Ports: fields[len(fields)-1], Protocol: protocol}
	if len(fields) > 1 {
		spec.HostPorts = fields[len(fields)-2]
	}
	if len(fields) > 2 {
		spec.HostIP = fields[0]
	}
	if len(fields) == 2 && spec.HostPorts == "" || len(fields) == 3 && spec.HostIP == "" {
		return PublishSpec{}, Invalidf("publication %q: want %s", clip(text), publishForm)
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
	key := PublishedKey{HostPorts: fields[0], Protocol: protocol}
	if len(fields) == 3 || len(fields) == 2 && strings.Contains(fields[0], ".") {
		key.HostIP, key.HostPorts = fields[0], fields[1]
	}
	return key.validate()
}

func splitPublish(text string) (fields []string, protocol string, err error) {
	rest, protocol, given := strings.Cut(text, "/")
	fields = strings.Split(rest, ":")
	if given && protocol == "" || len(fields) > 3 || fields[len(fields)-1] == "" {
		return nil, "", Invalidf("publication %q: want %s", clip(text), publishForm)
	}
	return fields, protocol, nil
}

// validate returns the spec in canonical form with its defaults filled in, or an
// error of what is wrong with it.
func (s PublishSpec) validate() (PublishSpec, error) {
	first, last, err := ParsePorts(s.Ports)
	if err != nil {
		return s, err
	}
	n := int(last-first) + 1
	if n > MaxPublished {
		return s, Invalidf("ports %q are %d: want at most %d at once", clip(s.Ports), n, MaxPublished)
	}
	s.Ports = FormatPorts(first, last)
	key := PublishedKey{HostIP: s.HostIP, HostPorts: s.HostPorts, Protocol: s.Protocol}
	if s.HostPorts == "" {
		if n > 1 {
			return s, Invalidf("ports %q without ports of the host: give %d of them as well", clip(s.Ports), n)
		}
		key.HostPorts = s.Ports // something right, to have the rest looked at
	}
	if key, err = key.validate(); err != nil {
		return s, err
	}
	s.HostIP, s.Protocol = key.HostIP, key.Protocol
	if s.HostPorts == "" {
		return s, nil
	}
	s.HostPorts = key.HostPorts
	if hostFirst, hostLast, _ := ParsePorts(s.HostPorts); int(hostLast-hostFirst)+1 != n {
		return s, Invalidf("ports %q of the host for ports %q: want as many", clip(s.HostPorts), clip(s.Ports))
	}
	return s, nil
}

// validate returns the key in canonical form.
func (k PublishedKey) validate() (PublishedKey, error) {
	switch k.Protocol {
	case "":
		k.Protocol = ProtocolTCP
	case ProtocolTCP, ProtocolUDP:
	default:
		return k, Invalidf("protocol %q: want tcp or udp", clip(k.Protocol))
	}
	first, last, err := ParsePorts(k.HostPorts)
	if err != nil {
		return k, err
	}
	k.HostPorts = FormatPorts(first, last)
	if k.HostIP == "" {
		return k, nil
	}
	host, err := netip.ParseAddr(k.HostIP)
	switch {
	case err != nil:
		return k, Invalidf("host address %q: want an IPv4 address of the host, such as 127.0.0.1", clip(k.HostIP))
	case !host.Is4():
		return k, Unsupportedf("host address %q: only IPv4 is supported, such as 127.0.0.1", clip(k.HostIP))
	case host.IsMulticast():
		return k, Invalidf("host address %s: want a unicast address of the host", host)
	case host.IsUnspecified():
		k.HostIP = ""
	}
	return k, nil
}
