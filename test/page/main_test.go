package page_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/leaselog/leaselog/test/caller"
	"github.com/leaselog/leaselog/test/skipping"
)

var (
	plugin   string
	leasectl string
	leasegen string
	chromium context.Context // the browser that all tests use; nil if there is none
	missing  string          // why there is none
	seed     = flag.Uint64("seed", 1, "seed of the random stores and instants")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	path := ""
	if path, missing = findChromium(); missing != "" {
		return m.Run() // each test skips itself, which gives the reason its place in the report
	}
	dir, err := os.MkdirTemp("", "leaselog-page-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		return 1
	}
	ctx, stop, err := start(path, filepath.Join(dir, "profile"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "page: start", path+":", err)
		return 1
	}
	defer stop()
	chromium = ctx
	return m.Run()
}

// build makes all binaries from source, with the page's script and style as they are in report/web/dist.
func build(dir string) (err error) {
	root := filepath.Join("..", "..")
	if plugin, err = caller.Build(root, dir); err != nil {
		return err
	}
	if leasectl, err = caller.BuildTool(root, dir, "leasectl"); err != nil {
		return err
	}
	leasegen, err = caller.BuildTool(root, dir, "leasegen")
	return err
}

func findChromium() (path, missing string) {
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, ""
		}
	}
	return "", "no browser: none of " + strings.Join(names, ", ") + " is installed"
}

// start starts a browser that has nothing of an earlier one and reaches no network.
func start(path, profile string) (ctx context.Context, stop func(), err error) {
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(time.Minute), chromedp.WindowSize(1280, 900),
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.NoSandbox, chromedp.DisableGPU,
	}
	for name, value := range map[string]any{
		"headless": true, "disable-quic": true, "disable-background-networking": true, "disable-component-update": true, "disable-sync": true,
		"disable-dev-shm-usage": true, "disable-extensions": true, "metrics-recording-only": true, "password-store": "basic",
		"disable-background-timer-throttling": true, "disable-backgrounding-occluded-windows": true, "disable-renderer-backgrounding": true,
		"host-resolver-rules": "MAP * ~NOTFOUND", "hide-scrollbars": true, "force-color-profile": "srgb",
	} {
		options = append(options, chromedp.Flag(name, value))
	}
	allocated, kill := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, leave := chromedp.NewContext(allocated)
	if err := chromedp.Do(ctx); err != nil {
		kill()
		return nil, nil, err
	}
	return ctx, func() { leave(); kill() }, nil
}

// needChromium skips a test where there is no browser. No tools were built there either, so what makes stores needs it, too.
func needChromium(t testing.TB) {
	t.Helper()
	if missing != "" {
		skipping.For(t, missing)
	}
}
