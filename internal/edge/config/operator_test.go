package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsForTheOperator(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		metrics    Metrics
		limits     Limits
	}{
		{
			"defaults", "",
			Metrics{Address: "127.0.0.1:9600", Identities: 1000},
			Limits{FailedLogins: 20, FailedLoginRate: 1, Hops: 16},
		},
		{
			"all of it", "[sluice.metrics]\naddress = \":9600\"\nidentities = 5\n" +
				"[sluice.limits]\nmessages_per_sec = 12.5\nfailed_logins = 5\nfailed_logins_per_sec = 0.5\nconnections_per_address = 100\nhops = 4\n",
			Metrics{Address: ":9600", Identities: 5, Wished: true},
			Limits{MessageRate: 12.5, FailedLogins: 5, FailedLoginRate: 0.5, ConnsFromAddress: 100, Hops: 4},
		},
		{
			"none", "[sluice.metrics]\naddress = \"\"\n[sluice.limits]\nfailed_logins = 0\n",
			Metrics{Identities: 1000, Wished: true},
			Limits{FailedLoginRate: 1, Hops: 16},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(minimal+tt.text), "/")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.metrics, got.Metrics); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if diff := cmp.Diff(tt.limits, got.Limits); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestL7_WrongKeysForTheOperatorSayWhatToWrite(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"[sluice.metrics]\naddress = \"9600\"\n", `sluice.metrics.address is "9600"; write "HOST:PORT"`},
		{"[sluice.metrics]\naddress = \"localhost:http-alt\"\n", `write "HOST:PORT"`},
		{"[sluice.metrics]\nidentities = 0\n", "sluice.metrics.identities is 0"},
		{"[sluice.limits]\nmessages_per_sec = -1\n", "sluice.limits.messages_per_sec is -1; write 0 for no limit"},
		{"[sluice.limits]\nmessages_per_sec = nan\n", "messages_per_sec is NaN"},
		{"[sluice.limits]\nfailed_logins_per_sec = 0\n", "never be let in again"},
		{"[sluice.limits]\nhops = 0\n", "sluice.limits.hops is 0; write 1 or more"},
		{"[sluice.limit]\nmessages_per_sec = 1\n", `did you mean "sluice.limits`},
	} {
		if _, err := Parse([]byte(minimal+tt.text), "/"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v\nwant %q in it", tt.text, err, tt.want)
		}
	}
}
