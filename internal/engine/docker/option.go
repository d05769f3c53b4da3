package docker

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"vswitch/api"
	"vswitch/internal/wellformed"
)

// What may be given with -o to docker network create. Those of Docker's bridge
// driver mean what they mean there.
const (
	optionName     = "vswitch.name"     // of the segment; otherwise the network's
	optionMTU      = "vswitch.mtu"      // bytes
	optionOffload  = "vswitch.offload"  // on, off or auto; also for one container
	optionSecurity = "vswitch.security" // of the network's ports; also for one container

	// Lists with commas or spaces between, of the network's ports; also for one container.
	optionAddresses = "vswitch.allow-address"
	optionMACs      = "vswitch.allow-mac"
	optionProtocols = "vswitch.allow-protocol"

	bridgeMTU = "com.docker.network.driver.mtu"
	bridgeICC = "com.docker.network.bridge.enable_icc" // false: containers do not reach each other
)

// portOptions are those that a container may have of its own. Those of the network count for
// the ports that have none, but for its offload, which is the segment's.
var portOptions = []string{
	optionSecurity, optionAddresses, optionMACs, optionProtocols, optionOffload,
}

var knownOptions = slices.Concat(
	[]string{optionName, optionMTU}, portOptions, []string{bridgeMTU, bridgeICC},
)

// options are those of a network. What endpoints need to know later is kept in the
// segment's labels, under the options' own names.
type options struct {
	name   string
	mtu    int          // 0: the default
	port   api.PortSpec // what the ports are to have
	labels map[string]string
}

// networkOptions reads what was given with -o. An unknown one is refused: it would
// do nothing, and whoever gave it believes otherwise.
func networkOptions(generic any) (o options, err error) {
	given, ok := generic.(map[string]any)
	if !ok && generic != nil {
		return o, fmt.Errorf("options are %T: want pairs of strings", generic)
	}
	o.labels = map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		value, ok := given[key].(string)
		if !ok {
			return o, fmt.Errorf("option %q is %v: want a string", clip(key), given[key])
		}
		if err := o.set(key, value); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (o *options) set(key, value string) (err error) {
	switch key {
	case optionName:
		o.name = value
	case optionMTU, bridgeMTU:
		if o.mtu, err = strconv.Atoi(value); err != nil || o.mtu < api.MinMTU || o.mtu > api.MaxMTU {
			return fmt.Errorf("option %s=%q: want %d to %d bytes", key, clip(value), api.MinMTU, api.MaxMTU)
		}
	case optionSecurity, optionAddresses, optionMACs, optionProtocols, optionOffload:
		if err := setPortOption(&o.port, key, value); err != nil {
			return err
		}
	case bridgeICC:
		if _, err := strconv.ParseBool(value); err != nil {
			return fmt.Errorf("option %s=%q: want true or false", key, clip(value))
		}
	default:
		return fmt.Errorf("option %q is unknown to the vswitch driver: it takes %s", clip(key), strings.Join(knownOptions, ", "))
	}
	o.labels[key] = value
	return nil
}

// setPortOption puts what an option of portOptions says into a port's spec.
func setPortOption(spec *api.PortSpec, key, value string) (err error) {
	list := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
	switch key {
	case optionSecurity:
		if spec.Security = api.Security(value); !spec.Security.Valid() {
			return fmt.Errorf("option %s=%q: want strict, mac, off", key, clip(value))
		}
	case optionOffload:
		if spec.Offload = api.Offload(value); !spec.Offload.Valid() {
			return fmt.Errorf("option %s=%q: want on, off, auto", key, clip(value))
		}
	case optionAddresses:
		spec.AllowAddresses, err = api.ParseAllAllowed(list)
	case optionMACs:
		spec.AllowMACs, err = api.ParseAllAllowedMACs(list)
	case optionProtocols:
		spec.AllowProtocols, err = api.ParseAllAllowedProtocols(list)
	}
	if err != nil {
		return fmt.Errorf("option %s: %w", key, err)
	}
	return nil
}

// setPortOptions puts into a port's spec what its container may do: by each option its own, from
// --network name=…,driver-opt=…, or else the network's, or else the default.
func setPortOptions(spec *api.PortSpec, given map[string]any, segment api.Segment) error {
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if strings.HasPrefix(key, "vswitch.") && !slices.Contains(portOptions, key) {
			return fmt.Errorf("option %q is unknown to the vswitch driver for a container: it takes %s", clip(key), strings.Join(portOptions, ", "))
		}
	}
	for _, key := range portOptions {
		value, there := segment.Labels[key]
		there = there && key != optionOffload
		if own, has := given[key]; has {
			value, there = fmt.Sprint(own), true
		}
		if !there {
			continue
		}
		if err := setPortOption(spec, key, value); err != nil {
			return err
		}
	}
	return nil
}

// isolated says whether the network's containers shall not reach each other.
func isolated(segment api.Segment) bool {
	icc, err := strconv.ParseBool(segment.Labels[bridgeICC])
	return err == nil && !icc
}

// flag reads a boolean of dockerd's own, which some engines send as text.
func flag(options map[string]any, key string) bool {
	switch v := options[key].(type) {
	case bool:
		return v
	case string:
		b, _ := strconv.ParseBool(v)
		return b
	}
	return false
}

// clip keeps an error one readable line when the value is huge.
func clip(s string) string { return wellformed.Cut(s, 80) }
