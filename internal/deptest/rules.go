package deptest

// module is the path of the project's module.
const module = "vswitch"

// anything in a room's list allows it every other room.
const anything = "*"

// A Room is a folder with a package of ours and what it may import of ours.
type Room struct {
	// Folder is the path below the module's top level.
	Folder string
	// May lists the folders it may import; its own subfolders are not implied.
	May []string
	// Why is the reason, told to whoever imports something else.
	Why string
}

// rooms lists every folder that has Go files other than tests.
var rooms = []Room{
	{"frame", nil, "frame is the leaf that everybody shares: it knows bytes and nothing else"},
	{"switch", []string{"frame", "switch/drop", "switch/fdb", "switch/policy"}, "switch is pure L2: it knows no kernel, no namespace, no API"},
	{"switch/drop", nil, "drop is names that everybody on the packet path shares: a leaf"},
	{"switch/fdb", nil, "fdb is a table of numbers: it knows keys and places only"},
	{"switch/policy", []string{"frame", "switch/drop"}, "policy knows headers and slots only: which port a slot is, and what becomes of a frame, is the switch's work"},
	{"switch/switchtest", []string{"frame", "switch"}, "switchtest stands in for the kernel: it holds ports in memory and builds frames"},
	{"tap", []string{"frame"}, "tap is the edge to the kernel's TAP: whom its frames go to is none of its business"},
	{"internal/reactor", []string{"frame"}, "reactor moves bytes between descriptors: what kind of endpoint is behind one is not its business"},
	{"arp", []string{"frame"}, "arp is bytes in, bytes out: it does no I/O and knows no switch"},
	{"icmp", []string{"frame"}, "icmp is bytes in, bytes out, beside the pinger: it knows no switch"},
	{"gateway", []string{"frame", "arp", "icmp", "switch", "switch/drop"}, "gateway is one more port of the switch: it reaches the world only through it"},
	{"dns", nil, "dns answers bytes with bytes, through sockets that others open: it knows no switch"},
	{"dhcp", nil, "dhcp is bytes in, bytes out: it does no I/O and knows no switch"},
	{"netns", nil, "netns is the edge to the kernel's links and namespaces: a leaf that works on names and addresses"},
	{"ipam", nil, "ipam is arithmetic over addresses: a leaf without a kernel"},
	{"nat", nil, "nat is the edge to the kernel's nftables: a leaf that works on links' names and addresses"},
	{"store", []string{"internal/wellformed"}, "store keeps bytes safe on disk: it does not know what they mean"},
	{"supervisor", nil, "supervisor holds descriptors for whoever asks: it knows no switch, so that it has little to go wrong"},
	{"api", []string{"internal/wellformed"}, "api is the wire: clients build against it without the switch behind it"},
	{"api/apitest", []string{"api"}, "apitest is a backend in memory: it needs the api's types only"},
	{
		"daemon",
		[]string{"frame", "switch", "switch/drop", "switch/fdb", "switch/policy", "tap", "internal/reactor", "arp", "icmp", "gateway", "dns", "dhcp", "netns", "ipam", "nat", "store", "api", "supervisor"},
		"daemon is the composition root: it puts the rooms together; plugins, benchmarks and commands stand on it or beside it",
	},
	{"docker", []string{"api"}, "docker speaks to the switch through api.Backend only, as any client could"},
	{"bench", []string{anything}, ""},
	{"conformance", []string{anything}, ""},
	{"cmd/vswitchd", []string{"daemon", "docker", "api", "supervisor", "internal/manual"}, "main parses flags and wires: what it would do itself belongs into daemon"},
	{"cmd/vsctl", []string{"api", "internal/manual", "internal/wellformed"}, "vsctl is a client: it knows the daemon through the api only"},
	{"cmd/vsbench", []string{"bench", "internal/manual"}, "main parses flags and wires: what it would do itself belongs into bench"},
	{"internal/busybox", nil, "busybox makes an image for tests and benchmarks: it needs neither"},
	{"internal/daemontest", []string{"internal/testenv"}, "daemontest runs vswitchd as a program: what is in it is seen from outside only"},
	{"internal/manual", nil, "manual renders the help of whatever command it is given"},
	{"internal/testenv", nil, "testenv serves the tests of all rooms: importing one of them would make a cycle"},
	{"internal/wellformed", nil, "wellformed looks at texts alone: the rooms that take them in share it"},
	{"internal/deptest", nil, "deptest reads sources: it needs none of them built"},
}

// A Rule restricts imports that are not ours.
type Rule struct {
	// Imports are import paths. One that ends in "/..." stands for the path
	// before it and all below, as for the go command.
	Imports []string
	// OnlyIn lists the rooms that may import them; nil: all but NotIn.
	OnlyIn []string
	// NotIn lists the rooms that may not.
	NotIn []string
	// Why is the reason, told to whoever breaks the rule.
	Why string
}

// rules hold for imports from the standard library and other modules.
var rules = []Rule{
	{
		Imports: []string{"github.com/songgao/water/..."},
		OnlyIn:  []string{"tap"},
		Why:     "tap is where TAP devices are made; others get theirs from it",
	},
	{
		Imports: []string{"github.com/vishvananda/netlink/...", "github.com/vishvananda/netns/..."},
		OnlyIn:  []string{"netns", "internal/testenv"},
		Why:     "netns is where links, addresses and namespaces are changed, so that one reader can check it all",
	},
	{
		Imports: []string{"github.com/google/nftables/...", "github.com/mdlayher/netlink/..."},
		OnlyIn:  []string{"nat"},
		Why:     "nat is where the host's packet filter is changed, so that one reader can check that it touches our table only",
	},
	{
		Imports: []string{"golang.org/x/sys/..."},
		OnlyIn:  []string{"tap", "internal/reactor", "netns", "nat", "icmp", "api", "supervisor", "bench", "conformance", "internal/testenv"},
		Why:     "system calls live at the kernel's edge: in tap, reactor, netns and nat, icmp's pinger, api's socket and supervisor's descriptors",
	},
	{
		Imports: []string{"github.com/google/gopacket/..."},
		NotIn:   []string{"frame", "switch", "switch/drop", "switch/fdb", "switch/policy", "tap", "internal/reactor", "arp", "icmp", "gateway"},
		Why:     "gopacket allocates for every frame: it is for tests, captures and traces, off the hot path",
	},
	{
		Imports: []string{"syscall", "os/...", "net", "net/http/...", "plugin", "unsafe"},
		NotIn:   []string{"switch", "switch/drop", "switch/fdb", "switch/policy"},
		Why:     "switch is pure L2: the kernel's side of a port comes to it through an interface",
	},
}

// An AllowList names all that one room may import from outside the project.
type AllowList struct {
	Room    string
	Imports []string
	Why     string
}

// allowLists are for rooms where naming what is allowed is shorter.
var allowLists = []AllowList{
	{
		Room:    "frame",
		Imports: []string{"encoding/binary", "encoding/hex", "errors", "fmt", "math/bits", "net/netip"},
		Why:     "frame is views on bytes: no I/O, no clock, no reflection, nothing that allocates behind the caller's back",
	},
}
