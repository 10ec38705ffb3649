package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/leaselog/leaselog/plugin"
)

// recordBytes is how much a call appends. The plugin's own records are longer.
const recordBytes = 200

// canned is what bare prints: the bytes of a result, made long before.
const canned = `{
    "cniVersion": "1.1.0",
    "ips": [
        {
            "address": "10.0.0.2/12",
            "gateway": "10.0.0.1"
        }
    ]
}`

func main() {
	if len(os.Args) > 1 {
		plugin.Main() // never in a benchmark: it is here so that the linker keeps the plugin whole
		return
	}
	f := floor{dir: os.Getenv("FLOOR_DIR")}
	switch os.Getenv("FLOOR") {
	case "write":
		f.append = true
	case "idle":
		f.result = true
	case "silent":
	case "bare":
		f.append = true
		if err := f.bare(); err != nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
			os.Exit(1)
		}
		return
	default:
		fmt.Fprintln(os.Stderr, "floor: FLOOR is write, idle, silent or bare")
		os.Exit(1)
	}
	add := f
	add.result = f.append || f.result
	skel.PluginMainFuncs(skel.CNIFuncs{
		Add: add.serve, Del: f.serve, Check: f.serve, GC: f.serve, Status: f.serve,
	}, version.All, "floor")
}

// floor is what a call does.
type floor struct {
	dir            string
	append, result bool
}

func (f floor) bare() error {
	if err := f.store(); err != nil {
		return err
	}
	_, err := os.Stdout.WriteString(canned)
	return err
}

func (f floor) serve(args *skel.CmdArgs) error {
	var conf types.PluginConf
	if err := json.Unmarshal(args.StdinData, &conf); err != nil {
		return err
	}
	if err := f.store(); err != nil {
		return err
	}
	if !f.result {
		return nil
	}
	result := &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		IPs: []*types100.IPConfig{{
			Address: net.IPNet{IP: net.IPv4(10, 0, 0, 2), Mask: net.CIDRMask(12, 32)},
			Gateway: net.IPv4(10, 0, 0, 1),
		}},
	}
	return types.PrintResult(result, conf.CNIVersion)
}

// store takes the lock, which ends with the process, and appends durably if it is to.
func (f floor) store() error {
	lock, err := syscall.Open(filepath.Join(f.dir, "lock"), syscall.O_RDWR|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("open the lock: %w", err)
	}
	if err := syscall.Flock(lock, syscall.LOCK_EX); err != nil {
		return fmt.Errorf("flock: %w", err)
	}
	if !f.append {
		return nil
	}
	file, err := syscall.Open(filepath.Join(f.dir, "log"), syscall.O_WRONLY|syscall.O_APPEND|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	if n, err := syscall.Write(file, make([]byte, recordBytes)); err != nil || n != recordBytes {
		return errors.Join(fmt.Errorf("append %d of %d bytes", n, recordBytes), err)
	}
	return syscall.Fsync(file)
}
