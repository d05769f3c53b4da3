package docker

// The requests and answers of the protocol, as far as they are used, after moby's
// libnetwork/drivers/remote/api. Fields that are not here are passed over: later
// engines send more.

// Keys of options, of moby's libnetwork/netlabel.
const (
	optionGeneric    = "com.docker.network.generic" // what the user gave with -o
	optionInternal   = "com.docker.network.internal"
	optionEnableIPv6 = "com.docker.network.enable_ipv6"
)

type implements struct {
	Implements []string
}

type capabilities struct {
	Scope             string
	ConnectivityScope string
}

type createNetworkRequest struct {
	NetworkID string
	Options   map[string]any
	IPv4Data  []ipamData
	IPv6Data  []ipamData
}

// ipamData is a subnet of a network; Pool and Gateway are in CIDR notation.
type ipamData struct {
	AddressSpace string
	Pool         string
	Gateway      string
	AuxAddresses map[string]any
}

type networkRequest struct {
	NetworkID string
}

// endpointRequest is that of all methods on an endpoint but its creation.
type endpointRequest struct {
	NetworkID  string
	EndpointID string
	SandboxKey string         // path of the container's namespace, for Join
	Options    map[string]any // for Join and ProgramExternalConnectivity
}

type createEndpointRequest struct {
	NetworkID  string
	EndpointID string
	Interface  *endpointInterface
	Options    map[string]any
}

// endpointInterface has addresses in CIDR notation.
type endpointInterface struct {
	Address     string `json:",omitempty"`
	AddressIPv6 string `json:",omitempty"`
	MacAddress  string `json:",omitempty"`
}

type createEndpointResponse struct {
	Interface *endpointInterface // only what the request left empty
}

type operInfoResponse struct {
	Value map[string]any
}

type joinResponse struct {
	InterfaceName         interfaceName
	Gateway               string
	GatewayIPv6           string
	StaticRoutes          []struct{}
	DisableGatewayService bool
}

// interfaceName says what dockerd finds the interface by, and with which letters
// its name in the container begins.
type interfaceName struct {
	SrcName   string
	DstPrefix string
}

// done is the answer of what succeeded without a result.
type done struct{}
