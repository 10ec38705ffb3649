package plugin

import (
	"reflect"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
)

func TestParseResolvConf(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       types.DNS
	}{
		{"empty", "", types.DNS{}},
		{"comments", "# nameserver 1.1.1.1\n;nameserver 1.1.1.1\n#nameserver 1.1.1.1\n", types.DNS{}},
		{"nameservers", " nameserver 1.1.1.1\t\n\nnameserver foo bar\r\nnameserver", types.DNS{Nameservers: []string{"1.1.1.1", "foo"}}},
		{"last domain", "domain a b\ndomain c", types.DNS{Domain: "c"}},
		{"searches add up", "search a b\nsearch c # d", types.DNS{Search: []string{"a", "b", "c", "#", "d"}}},
		{"options add up", "options ndots:1\noptions rotate use-vc", types.DNS{Options: []string{"ndots:1", "rotate", "use-vc"}}},
		{"other words", "Nameserver 1.1.1.1\nsortlist a\nnameservers b", types.DNS{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseResolvConf(strings.NewReader(test.text))
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, test.want)
			}
		})
	}
	if _, err := parseResolvConf(strings.NewReader(strings.Repeat("a", 70_000))); err == nil || err.Error() != "bufio.Scanner: token too long" {
		t.Errorf("long line: got %v", err)
	}
}
