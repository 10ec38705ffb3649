package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// overlayFile says what the overlay replaces, by paths from the module's folder.
const overlayFile = "test/soak/testdata/overlay.json"

// overlay is the form of go build's -overlay.
type overlay struct{ Replace map[string]string }

// writeOverlay writes the overlay to dir and returns its path. An overlay that GOFLAGS names,
// as that of a mutant, goes into it: the go command takes only one.
func writeOverlay(root, dir string) (string, error) {
	ours, err := readOverlay(root, filepath.Join(root, overlayFile))
	if err != nil {
		return "", err
	}
	for flag := range strings.FieldsSeq(os.Getenv("GOFLAGS")) {
		path, ok := strings.CutPrefix(strings.TrimPrefix(flag, "-"), "-overlay=")
		if !ok {
			path, ok = strings.CutPrefix(flag, "-overlay=")
		}
		if !ok {
			continue
		}
		others, err := readOverlay(root, path)
		if err != nil {
			return "", err
		}
		for file, by := range others.Replace {
			if _, twice := ours.Replace[file]; twice {
				return "", fmt.Errorf("%s: replaces %s, as soak does", path, file)
			}
			ours.Replace[file] = by
		}
	}
	b, err := json.Marshal(ours)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o644)
}

// readOverlay reads an overlay and makes its paths absolute.
func readOverlay(root, path string) (overlay, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return overlay{}, err
	}
	var o overlay
	if err := json.Unmarshal(b, &o); err != nil {
		return overlay{}, fmt.Errorf("%s: %w", path, err)
	}
	whole := overlay{Replace: map[string]string{}}
	for file, by := range o.Replace {
		whole.Replace[under(root, file)] = under(root, by)
	}
	return whole, nil
}

func under(root, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(root, path)
}
