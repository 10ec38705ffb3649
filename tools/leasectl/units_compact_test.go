package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// exposure is what systemd may say of the service at most, in tenths: 0 is no exposure, 100 is none of its means used.
const exposure = 15

// TestCompactUnits: the daily job can do nothing but what it is for, and is made up for by a node that was off.
func TestCompactUnits(t *testing.T) {
	u := readUnit(t, "leaselog-compact.timer")
	for key, want := range map[string]string{"OnCalendar": "daily", "RandomizedDelaySec": "3h", "Persistent": "yes"} {
		if got := u.one(t, "Timer", key); got != want {
			t.Errorf("%s=%s, want %s", key, got, want)
		}
	}
	u = readUnit(t, "leaselog-compact.service")
	if got := u.one(t, "Service", "ExecStart"); got != "/usr/local/bin/leasectl compact" {
		t.Errorf("ExecStart=%s", got)
	}
	for key := range u["Service"] {
		if strings.HasPrefix(key, "StateDirectory") || key == "ProcSubset" { // /proc/locks and the boot's ID are in the rest of /proc
			t.Errorf("%s= does not go with what the service does", key)
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs the systemd-analyze command")
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", fmt.Sprint("--threshold=", exposure),
		units(t, "leaselog-compact")[0]).CombinedOutput()
	if bytes.Contains(out, []byte("unrecognized option")) {
		t.Skip("needs systemd-analyze security --offline, of systemd 250")
	}
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// TestCompactService runs what the service runs, with the rights that it has, where everything but the data folder is read-only.
func TestCompactService(t *testing.T) {
	u := readUnit(t, "leaselog-compact.service")
	if got := strings.Fields(u.one(t, "Service", "ReadWritePaths"))[0]; got != "/var/lib/cni/networks" || u.one(t, "Service", "ProtectSystem") != "strict" {
		t.Errorf("it can write to %s", got)
	}
	dataDir, dir := fill(t, 600)
	words := strings.Fields(u.one(t, "Service", "ExecStart"))
	cmd, _ := command(t, append(words[1:], "--data-dir", dataDir, "--conf-dir", t.TempDir())...)
	const script = `set -e
mount --make-rprivate /
mount --bind "$0" "$0"
for m in $(cut -d" " -f5 /proc/self/mountinfo | sort -ur); do
	case $m in "$0" | /proc*) ;; *) mount -o remount,bind,ro "$m" 2>/dev/null || true ;; esac
done
if touch "$0/../probe" 2>/dev/null; then echo writable >&2; exit 1; fi
caps=$1; shift
exec setpriv --no-new-privs --bounding-set "$caps" --inh-caps -all "$@"`
	args := append([]string{"--mount", "sh", "-c", script, dataDir, capabilities(u.one(t, "Service", "CapabilityBoundingSet"))}, cmd.Args...)
	if out, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("needs the right to make mount namespaces: %v: %s", err, out)
	}
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("needs the setpriv command")
	}
	sandboxed := exec.Command("unshare", args...)
	sandboxed.Env = cmd.Env
	if out, err := sandboxed.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("done")) {
		t.Fatalf("%v: %s", err, out)
	}
	packed, err := filepath.Glob(filepath.Join(dir, "archive", "*.llz"))
	if err != nil || len(packed) != 1 {
		t.Errorf("packed files %q, %v, want one", packed, err)
	}
	if _, err := os.Stat(filepath.Join(dataDir, "..", "probe")); err == nil {
		t.Error("a file was made beside the data folder")
	}
}
