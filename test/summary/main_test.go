package main

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	tests := []struct {
		name    string
		skipped []string
		input   string
		code    int
		want    []string // in the output
		not     []string // not in the output
	}{
		{
			name: "passing tests stay silent",
			input: `{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":1.25}
`,
			want: []string{"ok    p  1.2s\n", "1 packages passed, 0 failed\n"},
			not:  []string{"noise"},
		},
		{
			name: "a failing test shows what it printed",
			input: `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}
{"Action":"pass","Package":"q"}
`,
			code: 1,
			want: []string{"a_test.go:3: got 1, want 2\n", "FAIL  p"},
		},
		{
			name: "a build error is shown",
			input: `{"Action":"build-output","ImportPath":"p","Output":"a.go:1:1: expected 'package'\n"}
{"Action":"build-fail","ImportPath":"p"}
{"Action":"fail","Package":"p"}
`,
			code: 1,
			want: []string{"a.go:1:1: expected 'package'\n", "FAIL  p"},
		},
		{
			name:    "what else was skipped is listed, too",
			skipped: []string{"", "web-check: node is not installed"},
			input: `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:9: needs root\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}
`,
			want: []string{"SKIP  needs root\n        p: TestA\nSKIP  web-check: node is not installed\n1 packages passed"},
			not:  []string{"SKIP  \n"},
		},
		{
			name: "skips are listed by reason",
			input: `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:2: looking for root\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: needs root: it makes namespaces\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    a_test.go:9: needs root: it makes namespaces\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p"}
{"Action":"skip","Package":"q"}
`,
			want: []string{"SKIP  needs root: it makes namespaces\n        p: TestA TestB\n", "1 packages passed"},
		},
		{name: "no test at all is a failure", code: 1, want: []string{"0 packages passed"}},
		{name: "other input", input: "# p\n", code: 4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if got := run(test.skipped, strings.NewReader(test.input), &stdout, &stderr); got != test.code {
				t.Errorf("exit code: got %d, want %d; stderr %q", got, test.code, stderr.String())
			}
			for _, want := range test.want {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("output: got %q, want %q in it", stdout.String(), want)
				}
			}
			for _, not := range test.not {
				if strings.Contains(stdout.String(), not) {
					t.Errorf("output: got %q, want no %q in it", stdout.String(), not)
				}
			}
		})
	}
}
