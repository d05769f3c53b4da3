package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"vswitch/api"
)

// policyFlags are the flags that say what a container may do.
type policyFlags struct {
	security       api.Security
	allowAddresses []string
	allowMACs      []string
	allowProtocols []string
	allowReserved  bool
	bpduGuard      bool
	isolated       bool
	macLimit       int
	floodLimit     int
	rateIn         string
	rateOut        string
	offload        api.Offload
}

// policyNames are the names of the flags.
var policyNames = []string{
	"security", "allow-address", "allow-mac", "allow-protocol", "allow-reserved", "bpdu-guard", "isolated",
	"mac-limit", "flood-limit", "rate-in", "rate-out", "offload",
}

const policyHelp = `
What the container may send is up to --security: "strict" lets pass what has the
port's own MAC and addresses, in ARP as well, "mac" what has its own MAC, and "off"
all that does not claim the address of the gateway or of another port. --allow-address
adds an address of its own, which is then given to no other port, or a network that it
routes; an IPv6 network of 64 bits, such as fe80::/64, is one in which it makes its own
addresses. --allow-mac adds a MAC, or with a mask several, and --allow-protocol what frames
may carry besides IP and ARP, by name or EtherType. "vsctl stats" says which of them
refused frames lack. Rates are as in tc, with an
optional burst, such as 100mbit:64kb; without one it is what the rate brings in 10 ms,
128 KiB at least. As with tc-tbf, frames beyond the rate wait for their turn, for 50 ms
at most, and those that would have to wait for longer are dropped.
` + offloadHelp

func (p *policyFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(textFlag{(*string)(&p.security), "strict|mac|off"}, "security", "how far to trust the container (default strict)")
	flags.Var(wordsFlag{&p.allowAddresses, "CIDR"}, "allow-address", "an address or network besides the port's own; may be repeated")
	flags.Var(wordsFlag{&p.allowMACs, "MAC[/MASK]"}, "allow-mac", "a MAC besides the port's own, or those that have a mask's bits in common; may be repeated")
	flags.Var(wordsFlag{&p.allowProtocols, "NAME|0xNNNN|llc"}, "allow-protocol", "what frames may carry besides IP and ARP, such as ptp; may be repeated")
	flags.BoolVar(&p.allowReserved, "allow-reserved", false, "the same as --allow-protocol reserved: let frames to 01:80:C2:00:00:01 to -0F pass")
	flags.BoolVar(&p.bpduGuard, "bpdu-guard", false,
		"drop BPDUs (01:80:C2:00:00:00) from the port instead of forwarding them")
	flags.BoolVar(&p.isolated, "isolated", false, "exchange no frames with other isolated ports")
	flags.IntVar(&p.macLimit, "mac-limit", 0, fmt.Sprintf("learn at most `N` addresses at the port besides its own; -1 for no limit (default %d)", api.DefaultMACLimit))
	flags.IntVar(&p.floodLimit, "flood-limit", 0, fmt.Sprintf("let at most `N` frames per second go to all; -1 for no limit (default %d)", api.DefaultFloodLimit))
	flags.Var(textFlag{&p.rateIn, "RATE"}, "rate-in", "bound what the container sends, RATE or RATE:BURST (default none; BURST: what RATE brings in 10 ms, 128kb at least)")
	flags.Var(textFlag{&p.rateOut, "RATE"}, "rate-out", "bound what the container is sent, in the same way (default none)")
	registerOffload(cmd, &p.offload, "as the segment has it")
	completeFlag(cmd, "allow-protocol", func(*cobra.Command) []string {
		return texts(api.LinkProtocolNames(), func(p api.LinkProtocol) string { return string(p) })
	})
	completeFlag(cmd, "security", func(*cobra.Command) []string {
		return []string{string(api.SecurityStrict), string(api.SecurityMAC), string(api.SecurityOff)}
	})
}

func (p *policyFlags) into(spec *api.PortSpec) (err error) {
	spec.Security, spec.Offload = p.security, p.offload
	spec.AllowReserved, spec.BPDUGuard, spec.Isolated = p.allowReserved, p.bpduGuard, p.isolated
	spec.MACLimit, spec.FloodLimit = p.macLimit, p.floodLimit
	if spec.AllowAddresses, err = api.ParseAllAllowed(p.allowAddresses); err != nil {
		return err
	}
	if spec.AllowMACs, err = api.ParseAllAllowedMACs(p.allowMACs); err != nil {
		return err
	}
	if spec.AllowProtocols, err = api.ParseAllAllowedProtocols(p.allowProtocols); err != nil {
		return err
	}
	if err := read(p.rateIn, parseRate("rate in"), &spec.RateIn); err != nil {
		return err
	}
	return read(p.rateOut, parseRate("rate out"), &spec.RateOut)
}

// allowances lists what a port may use besides its own.
func allowances(p api.Port) string {
	var list []string
	for _, a := range p.AllowAddresses {
		list = append(list, a.String())
	}
	for _, m := range p.AllowMACs {
		list = append(list, m.String())
	}
	for _, protocol := range p.AllowProtocols {
		list = append(list, string(protocol))
	}
	return strings.Join(list, ", ")
}

// parseRate returns [api.ParseRate] with errors that say which rate is wrong.
func parseRate(what string) func(string) (api.Rate, error) {
	return func(s string) (api.Rate, error) {
		r, err := api.ParseRate(s)
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		}
		return r, err
	}
}

// change puts what was given into update, and says whether anything was.
func (p *policyFlags) change(flags *pflag.FlagSet, update *api.PortUpdate) (changes bool, err error) {
	var spec api.PortSpec
	for _, list := range []*[]string{&p.allowAddresses, &p.allowMACs, &p.allowProtocols} {
		if len(*list) == 1 && (*list)[0] == "none" {
			*list = nil
		}
	}
	if err := p.into(&spec); err != nil {
		return false, err
	}
	given(flags, "security", &update.Security, &p.security)
	given(flags, "allow-reserved", &update.AllowReserved, &p.allowReserved)
	given(flags, "bpdu-guard", &update.BPDUGuard, &p.bpduGuard)
	given(flags, "isolated", &update.Isolated, &p.isolated)
	given(flags, "mac-limit", &update.MACLimit, &p.macLimit)
	given(flags, "flood-limit", &update.FloodLimit, &p.floodLimit)
	given(flags, "offload", &update.Offload, &p.offload)
	given(flags, "rate-in", &update.RateIn, &spec.RateIn)
	given(flags, "rate-out", &update.RateOut, &spec.RateOut)
	given(flags, "allow-address", &update.AllowAddresses, &spec.AllowAddresses)
	given(flags, "allow-mac", &update.AllowMACs, &spec.AllowMACs)
	given(flags, "allow-protocol", &update.AllowProtocols, &spec.AllowProtocols)
	for _, name := range policyNames {
		if flags.Changed(name) {
			return true, nil
		}
	}
	return false, nil
}

// given points field to value if the flag was given.
func given[T any](flags *pflag.FlagSet, name string, field **T, value *T) {
	if flags.Changed(name) {
		*field = value
	}
}

// wordsFlag is a repeatable flag of texts that are checked later.
type wordsFlag struct {
	words *[]string
	kind  string // names the value in the help
}

// String, Set and Type implement [pflag.Value].
func (w wordsFlag) String() string { return strings.Join(*w.words, ",") }

// Type names the value in the help.
func (w wordsFlag) Type() string { return w.kind }

// Set adds one text.
func (w wordsFlag) Set(s string) error {
	var text string
	if err := (textFlag{text: &text}).Set(s); err != nil {
		return err
	}
	*w.words = append(*w.words, text)
	return nil
}
