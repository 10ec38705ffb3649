package plugin

import (
	"bufio"
	"io"
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// readResolvConf reads the resolver configuration at path; none if path is empty.
func readResolvConf(path string) (types.DNS, error) {
	if path == "" {
		return types.DNS{}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return types.DNS{}, err
	}
	dns, err := parseResolvConf(f)
	// Nothing was written, so closing can't lose anything.
	_ = f.Close()
	return dns, err
}

// parseResolvConf reads as host-local does, which is not quite as the resolver does:
// search and options add up over their lines, and words after a value are values too.
func parseResolvConf(r io.Reader) (types.DNS, error) {
	var dns types.DNS
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		// A comment's first word starts with # or ;, so it is none of these.
		switch keyword, values := words[0], words[1:]; keyword {
		case "nameserver":
			dns.Nameservers = append(dns.Nameservers, values[0])
		case "domain":
			dns.Domain = values[0]
		case "search":
			dns.Search = append(dns.Search, values...)
		case "options":
			dns.Options = append(dns.Options, values...)
		}
	}
	if err := lines.Err(); err != nil {
		return types.DNS{}, err
	}
	return dns, nil
}
