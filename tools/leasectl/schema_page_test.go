package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestPageSchema holds the schema of what a report's page copies against intervals that the page's own test compares with what it
// copies, byte for byte.
func TestPageSchema(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(filepath.Join(schemasDir, "page", "report_intervals.json"))
	if err != nil {
		t.Fatal(err)
	}
	const copied = "../../report/web/test/testdata/intervals.json"
	text, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s: %v", copied, err)
	}
}
