package main

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
)

func parseLive(text string) (*liveList, error) {
	l := &liveList{name: "list", ids: map[string]bool{}}
	return l, l.read(strings.NewReader(text))
}

func TestLiveList(t *testing.T) {
	tests := []struct {
		name, text string
		want       string // the IDs, sorted
	}{
		{"empty", "", ""},
		{"blank lines and comments", "\n  \n# c9\n\t#c8\n", ""},
		{"lines", "b\na\n", "a b"},
		{"no last line break", "a", "a"},
		{"windows", "a\r\nb\r\n", "a b"},
		{"case matters", "aB\nAb\n", "Ab aB"},
		{"trimmed", "  a\t\n\tb ", "a b"},
		{"twice", "a\na\na\n", "a"},
		{"longest", strings.Repeat("a", 4096), strings.Repeat("a", 4096)},
		{"byte order mark", "\ufeffa\r\nb\r\n", "a b"},
		{"byte order mark before JSON", "\ufeff[\"a\"]", "a"},
		{"strings", `["a", "b" , "a"]`, "a b"},
		{"empty array", " [ ] ", ""},
		{"objects", `[{"id":"a"},{"Id":"b"},{"ID":"c"},{"containerID":"d"},{"containerId":"e"},{"container_id":"f"},{"podSandboxId":"g"}]`, "a b c d e f g"},
		{"all of an object's", `{"id":"a","podSandboxId":"b","labels":{"id":"x","y":["z"]},"pid":7,"ok":true,"more":null}`, "a b"},
		{"twice in an object", `{"id":"a","id":"b"}`, "a b"},
		{"empty beside another", `{"id":"","podSandboxId":"b"}`, "b"},
		{"JSON Lines", "{\"ID\":\"a\"}\n\n{\"ID\":\"b\"}\n", "a b"},
		{"lines of strings", "\"a\"\n\"b\"\n", "a b"},
		{"crictl pods", `{"items":[{"id":"a","metadata":{"name":"web"}},{"id":"b"}]}`, "a b"},
		{"crictl ps", `{"containers":[{"id":"a","podSandboxId":"p"}]}`, "a p"},
		{"podman pods", `[{"Id":"a","Containers":[{"Id":"b"}],"pods":null}]`, "a b"},
		{"nothing in it", `{"items":[]}`, ""},
		{"deep", strings.Repeat("[", 100) + `"a"` + strings.Repeat("]", 100), "a"},
		{"many", strings.Repeat("[]", 200), ""},
		{"null in it", `{"items":null}`, ""},
		{"valid attachments", `{"cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"}]}`, "a"},
		{"escaped", `["\u0061"]`, "a"},
		{"trimmed string", `[" a "]`, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := parseLive(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(slices.Sorted(maps.Keys(l.ids)), " "); got != tt.want {
				t.Errorf("IDs %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLiveListRefused(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"zero byte", "a\nb\x00", "line 2: control byte 0x00"},
		{"escape", "a\x1b[2J", "line 1: control byte 0x1b"},
		{"delete", "a\x7f", "line 1: control byte 0x7f"},
		{"UTF-16", "\xff\xfea\x00", "control byte 0x00"},
		{"not UTF-8", "a\nb\nc\xc3\n", "line 3: not UTF-8"},
		{"two words", "a\na b\n", "line 2: more than one word"},
		{"tab between", "a\tb\n", "line 1: more than one word"},
		{"what jq prints of a missing key", "a\nnull\n", "line 2: null is no container ID"},
		{"too long", "a\n" + strings.Repeat("a", 4097), "line 2: a container ID of 4097 bytes, at most 4096"},
		{"too long in JSON", `["` + strings.Repeat("a", 4097) + `"]`, "a container ID of 4097 bytes, at most 4096"},
		{"not ASCII", "a\né\n", "line 2: \"é\" is no container ID"},
		{"scheme", "containerd://a\n", "line 1: \"containerd://a\" is no container ID"},
		{"scheme in JSON", `[{"containerID":"docker://a"}]`, "\"docker://a\" is no container ID"},
		{"comma", "a,b\n", "is no container ID"},
		{"mark within", "a\n\ufeffb\n", "is no container ID"},
		{"no end of array", `["a"`, "unexpected EOF"},
		{"no end of object", `{"id":"a"`, "unexpected EOF"},
		{"no end of key", `{"id`, "unexpected EOF"},
		{"no value", `{"id"`, "EOF"},
		{"no end of inner list", `{"items":[`, "unexpected EOF"},
		{"no inner list", `{"items":`, "EOF"},
		{"no end of what is skipped", `{"x":{`, "unexpected EOF"},
		{"no comma", "[\n\"a\"\n\"b\"]", "line 3, byte "},
		{"closed twice", `["a"]]`, "invalid character ']'"},
		{"words behind", `["a"] and b`, "invalid character 'a'"},
		{"number", `["a", 7]`, "7 is no container ID"},
		{"null", `[null]`, "is no container ID"},
		{"true", `{"id":"a"} true`, "is no container ID"},
		{"empty string", `[""]`, "an empty container ID"},
		{"blank string", `[" "]`, "an empty container ID"},
		{"ID is a number", `{"id":7}`, "cannot unmarshal number"},
		{"control byte in a string", `["a\u0000"]`, "control byte"},
		{"object of something else", `{"items":[{"metadata":{"id":"a"}}]}`, "an object with none of id, Id, ID,"},
		{"empty object", `{}`, "an object with none of id"},
		{"only an empty ID", `{"id":""}`, "an object with none of id"},
		{"inner object", `{"items":{"id":"a"}}`, "{ where a list is wanted"},
		{"inner string", `{"items":"a"}`, "a where a list is wanted"},
		{"deep objects", strings.Repeat(`{"items":[`, 101), "nested more than 100 deep"},
		{"deep", strings.Repeat("[", 101), "nested more than 100 deep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := parseLive(tt.text)
			if err == nil {
				t.Fatalf("taken for %q", slices.Sorted(maps.Keys(l.ids)))
			}
			if !strings.HasPrefix(err.Error(), "list: line ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want list: line ... %s", err, tt.want)
			}
		})
	}
}

// endless is a list without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "c\n"[i%2]
	}
	return len(p), nil
}

func TestLiveListTooLong(t *testing.T) {
	l := &liveList{name: "list", ids: map[string]bool{}}
	if err := l.read(endless{}); err == nil || !strings.Contains(err.Error(), "list: more than 64 MiB") {
		t.Errorf("without end: %v", err)
	}
	if err := l.read(io.LimitReader(endless{}, 1<<20)); err != nil || len(l.ids) != 1 {
		t.Errorf("1 MiB: %v, %d IDs, want 1", err, len(l.ids))
	}
}

func TestListed(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 4)
	l, err := parseLive(strings.Join([]string{"web", "short-id", long[:12], "ffffffffffffeeee", "fedcba98765"}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, id, want string }{
		{"whole", "web", "web"},
		{"beginning of a short one", "web2", ""},
		{"twelve digits", long, long[:12]},
		{"these alone", long[:12], long[:12]},
		{"eleven digits of it", "fedcba9876543210", ""},
		{"other digits", "1" + long[1:], ""},
		{"in a namespace", "default-" + long, long[:12]},
		{"in a namespace with a dash", "my-own-" + long, long[:12]},
		{"whole in a namespace", "default-ffffffffffffeeee", "ffffffffffffeeee"},
		{"longer in a namespace", "default-ffffffffffffeeeef", "ffffffffffffeeee"},
		{"short in a namespace", "default-web", ""},
		{"namespace alone", "web-", ""},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, how := l.names(tt.id)
			if got != tt.want || (how == "") != (got == "") {
				t.Errorf("%q is listed as %q (%s), want %q", tt.id, got, how, tt.want)
			}
		})
	}
}

// FuzzLiveList: what is taken for a list is the same list when it is written as JSON, and each on it is listed.
func FuzzLiveList(f *testing.F) {
	for _, seed := range []string{"a\nb\n", "# none\n", `["a","b"]`, `{"items":[{"id":"a","x":[{}]}]}`, "{\"ID\":\"a\"}\n{\"ID\":\"b\"}", "\ufeffa", `{"id":`, "a b", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseLive(text)
		if err != nil {
			return
		}
		ids := slices.AppendSeq([]string{}, maps.Keys(l.ids))
		b, err := json.Marshal(ids)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseLive(string(b))
		if err != nil || !maps.Equal(again.ids, l.ids) {
			t.Errorf("%q lists %q, and as JSON %v, %v", text, ids, again.ids, err)
		}
		for _, id := range ids {
			if listed, _ := l.names(id); listed != id {
				t.Errorf("%q lists %q as %q", text, id, listed)
			}
		}
	})
}
