package docker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"vswitch/api"
)

// The requests and answers of IPAM, after moby's libnetwork/ipams/remote/api.

type ipamCapabilities struct {
	RequiresMACAddress    bool
	RequiresRequestReplay bool
}

type addressSpaces struct {
	LocalDefaultAddressSpace  string
	GlobalDefaultAddressSpace string
}

type requestPoolRequest struct {
	AddressSpace string
	Pool         string
	SubPool      string
	Options      map[string]string
	V6           bool
}

type requestPoolResponse struct {
	PoolID string
	Pool   string
	Data   map[string]string
}

type poolRequest struct {
	PoolID string
}

type addressRequest struct {
	PoolID  string
	Address string // without prefix length
	Options map[string]string
}

type addressResponse struct {
	Address string // CIDR
	Data    map[string]string
}

// addressSpace is the only one: containers of all networks are on one machine. By
// it a network's request tells that the subnet is one of our pools.
const addressSpace = "vswitch"

// The key and value of the options by which an address is the gateway's, of moby's
// libnetwork/ipamapi and netlabel.
const (
	optionAddressType = "RequestAddressType"
	gatewayAddress    = "com.docker.network.gateway"
)

// ipamMethods are those of the IPAM driver.
func (p *Plugin) ipamMethods() map[string]method {
	return map[string]method{
		"/IpamDriver.GetCapabilities": on(func(context.Context, done) (any, error) {
			return ipamCapabilities{}, nil // pools and leases survive restarts of both daemons
		}),
		"/IpamDriver.GetDefaultAddressSpaces": on(func(context.Context, done) (any, error) {
			return addressSpaces{addressSpace, addressSpace}, nil
		}),
		"/IpamDriver.RequestPool":    on(p.requestPool),
		"/IpamDriver.ReleasePool":    on(p.releasePool),
		"/IpamDriver.RequestAddress": on(p.requestAddress),
		"/IpamDriver.ReleaseAddress": on(p.releaseAddress),
	}
}

// requestPool reserves a subnet. dockerd holds on to one that overlaps something it
// knows of and asks again, so that the next one differs.
func (p *Plugin) requestPool(ctx context.Context, r requestPoolRequest) (any, error) {
	if r.V6 {
		return nil, errors.New("IPv6 is not supported yet: create the network without --ipv6")
	}
	if r.AddressSpace != addressSpace {
		return nil, fmt.Errorf("address space %q is unknown: there is only %s", clip(r.AddressSpace), addressSpace)
	}
	for key := range r.Options {
		return nil, fmt.Errorf("option %q is unknown to the vswitch IPAM driver: it takes none", clip(key))
	}
	spec, err := poolSpec(r)
	if err != nil {
		return nil, err
	}
	pool, err := p.pools.AddPool(ctx, spec)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // dockerd does not know of it
		_, err := p.pools.DeletePool(context.WithoutCancel(ctx), pool.ID)
		return nil, err
	}
	return requestPoolResponse{PoolID: pool.ID, Pool: pool.Subnet.String(), Data: map[string]string{}}, nil
}

// poolSpec reads the subnet that Docker wants, if any.
func poolSpec(r requestPoolRequest) (spec api.PoolSpec, err error) {
	if r.Pool != "" {
		if spec.Subnet, err = api.ParsePrefix("subnet", r.Pool); err != nil {
			return spec, err
		}
	}
	if r.SubPool != "" {
		spec.IPRange, err = api.ParsePrefix("ip range", r.SubPool)
	}
	return spec, err
}

// releasePool gives a subnet back, if it is there.
func (p *Plugin) releasePool(ctx context.Context, r poolRequest) (any, error) {
	_, err := p.pools.DeletePool(ctx, r.PoolID)
	if api.KindOf(err) == api.NotFound {
		err = nil
	}
	return done{}, err
}

func (p *Plugin) requestAddress(ctx context.Context, r addressRequest) (any, error) {
	var want netip.Addr
	if r.Address != "" {
		var err error
		if want, err = netip.ParseAddr(r.Address); err != nil {
			return nil, fmt.Errorf("address %q: want one without prefix length, such as 10.1.0.5", clip(r.Address))
		}
	}
	if r.Options[optionAddressType] == gatewayAddress {
		prefix, err := p.pools.LeaseGateway(ctx, r.PoolID, want)
		return addressResponse{Address: prefix.String()}, err
	}
	prefix, err := p.pools.Lease(ctx, r.PoolID, want)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // dockerd does not know of it
		return nil, p.pools.Release(context.WithoutCancel(ctx), r.PoolID, prefix.Addr())
	}
	return addressResponse{Address: prefix.String()}, nil
}

// releaseAddress gives an address back, if it is leased.
func (p *Plugin) releaseAddress(ctx context.Context, r addressRequest) (any, error) {
	addr, err := netip.ParseAddr(r.Address)
	if err != nil {
		return nil, fmt.Errorf("address %q: want one without prefix length, such as 10.1.0.5", clip(r.Address))
	}
	if err = p.pools.Release(ctx, r.PoolID, addr); api.KindOf(err) == api.NotFound {
		err = nil
	}
	return done{}, err
}

// poolOf is the pool that a network's subnet was taken from; empty when Docker's own
// IPAM has chosen it.
func (p *Plugin) poolOf(ctx context.Context, data ipamData) (string, error) {
	if data.AddressSpace != addressSpace {
		return "", nil
	}
	pools, err := p.pools.Pools(ctx)
	if err != nil {
		return "", err
	}
	for _, pool := range pools {
		if pool.Subnet.String() == data.Pool {
			return pool.ID, nil
		}
	}
	return "", fmt.Errorf("subnet %q is no pool of the vswitch IPAM driver: let it allocate one", clip(data.Pool))
}
