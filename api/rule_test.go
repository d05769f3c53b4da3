package api_test

import (
	"context"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/api/apitest"
	"vswitch/internal/control/controltest"
)

func TestParsePorts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"80": "80", "1-65535": "1-65535", "443-443": "443", "0080": "80",
	} {
		if got, err := api.ParsePorts(text); err != nil || got.String() != want {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "0-5", "65536", "1-", "-1", "1-2-3", "5-1", "http", "1 - 2", "+1"} {
		if got, err := api.ParsePorts(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, got)
		}
	}
}

func TestRulesThatMakeNoSense(t *testing.T) {
	t.Parallel()
	client := api.NewSocketClient(apitest.Serve(t, controltest.New(t)), 0)
	defer client.Close()
	for _, test := range []struct {
		spec api.RuleSpec
		want string
	}{
		{api.RuleSpec{}, `action "": want allow or deny`},
		{api.RuleSpec{Action: "drop"}, `action "drop": want allow or deny`},
		{api.RuleSpec{Action: "deny", Position: -1}, "position -1: want 1"},
		{api.RuleSpec{Action: "deny", Position: 1025}, "position 1025: want 1"},
		{api.RuleSpec{Action: "deny", Protocol: "sctp"}, `protocol "sctp": want tcp, udp, icmp or any`},
		{api.RuleSpec{Action: "deny", Protocol: "icmp", Ports: portsOf("1")}, "which has none"},
		{api.RuleSpec{Action: "deny", From: api.RuleEnd{Port: "a", Label: "k=v"}}, "both given"},
		{api.RuleSpec{Action: "deny", To: api.RuleEnd{Label: "k"}}, "want KEY=VALUE"},
		{api.RuleSpec{Action: "deny", To: api.RuleEnd{Label: "=v"}}, "want KEY=VALUE"},
		{api.RuleSpec{Action: "deny", To: api.RuleEnd{Label: "k=" + strings.Repeat("v", 256)}}, "at most 255 bytes"},
		{api.RuleSpec{Action: "deny", To: api.RuleEnd{Label: "k=\x1b"}}, "control characters"},
	} {
		_, err := client.AddRule(context.Background(), "bridge", test.spec)
		if api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want an invalid one with %q", test.spec, err, test.want)
		}
	}
	if list, err := client.Rules(context.Background(), ""); err != nil || len(list) != 0 {
		t.Errorf("the rules are %v, %v, want none", list, err)
	}
}
