package api

import (
	"slices"

	"vswitch/internal/wellformed"
)

// maxAliases bounds the names of a port beside its own.
const maxAliases = wellformed.MaxAliases

// canonicalAliases returns a list of names without those that are there twice.
func canonicalAliases(list []string) ([]string, error) {
	if len(list) > maxAliases {
		return nil, Invalidf("%d aliases: want at most %d", len(list), maxAliases)
	}
	var canonical []string
	for _, name := range list {
		if err := validateName("alias", name); err != nil {
			return nil, err
		}
		if !slices.Contains(canonical, name) {
			canonical = append(canonical, name)
		}
	}
	return canonical, nil
}

// withNames validates what the port's container is called and told.
func (s PortSpec) withNames() (PortSpec, error) {
	if s.ResolvConf && (s.NetNS == "" || s.NetNS[0] == '/') {
		return s, Invalidf("a resolv.conf is written for a namespace with a name, as in \"ip netns list\": give its name as netns")
	}
	var err error
	s.Aliases, err = canonicalAliases(s.Aliases)
	return s, err
}

// withNames validates what the port's container is called from now on.
func (u PortUpdate) withNames() (PortUpdate, error) {
	if u.Aliases == nil {
		return u, nil
	}
	list, err := canonicalAliases(*u.Aliases)
	u.Aliases = &list
	return u, err
}
