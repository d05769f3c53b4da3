package docker

import "context"

// publish is told the ports that docker run -p asks for, under
// "com.docker.network.portmap" of the options, once the container has its
// interface. A segment has no way out yet, so there is nothing to publish on.
func (p *Plugin) publish(context.Context, endpointRequest) (any, error) { return done{}, nil }

// unpublish takes back what publish has done.
func (p *Plugin) unpublish(context.Context, endpointRequest) (any, error) { return done{}, nil }
