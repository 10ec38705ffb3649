package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestReadmeLines has what README shows taken at least for a command: flags and times that leasectl understands.
func TestReadmeLines(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	hold := regexp.MustCompile("`leasectl (hold add [^`]*)`").FindStringSubmatch(text)
	prune := regexp.MustCompile("`leasectl (prune --keep [^`]* --why [^`]*)`").FindStringSubmatch(text)
	if hold == nil || prune == nil {
		t.Fatal("README shows no hold add or no prune")
	}
	dataDir, _ := fill(t, 10)
	for _, line := range []string{hold[1], prune[1]} {
		cmd, stderr := command(t, append(words(line), "--data-dir", dataDir)...)
		if err := cmd.Run(); err != nil {
			t.Errorf("leasectl %s: %v: %s", line, err, stderr)
		}
	}
	exec := readUnit(t, "leaselog-compact.service").one(t, "Service", "ExecStart")
	if !regexp.MustCompile(`(?m)^ *17 3 .* root .*` + regexp.QuoteMeta(exec) + ` `).MatchString(text) {
		t.Errorf("README's cron line does not run %s, as the service does", exec)
	}
}

// TestReadmePictures: the pictures in README are those that leasectl draws, as scripts hold them against it.
func TestReadmePictures(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{"map.txtar", "timeline.txtar"} {
		files, err := txtar.ParseFile(filepath.Join("testdata", script))
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(files.Files, func(f txtar.File) bool { return f.Name == "wide80" })
		shown := strings.ReplaceAll("\n"+strings.TrimRight(string(files.Files[i].Data), "\n"), "\n", "\n    ")
		if !strings.Contains(string(readme), shown+"\n") {
			t.Errorf("README does not show wide80 of %s:%s", script, shown)
		}
	}
}

// words splits a line of a shell that has nothing but words and double quotes.
func words(line string) (list []string) {
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			list = append(list, part)
		} else {
			list = append(list, strings.Fields(part)...)
		}
	}
	return list
}
