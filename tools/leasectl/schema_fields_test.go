package main

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/replay"
)

// TestSchemasHaveAllFields holds the schemas against the types that are printed: neither has a field that the other
// doesn't, and what may be absent or null is so in both.
func TestSchemasHaveAllFields(t *testing.T) {
	items := map[string]any{
		"interval": leaseItem{}, "holder": whoItem{}, "state": stateItem{}, "change": changeItem{}, "event": eventItem{},
		"record": dumpItem{}, "network": networkItem{}, "network_stats": statsItem{}, "finding": findingItem{},
		"judged": judgedItem{}, "mending": mendingItem{}, "annotation": annotationItem{}, "taken": takenItem{},
		"compaction": compactionItem{}, "pruning": pruningItem{}, "kept": keptItem{},
		"part":        partItem{},
		"export_file": exportedFile{}, "sentence": sentenceItem{}, "backed_up": backedUpItem{}, "restored": restoredItem{}, "reported": reportedItem{},
		"row":     rowItem{},
		"summary": summaryItem{},
		"span":    spanItem{},
	}
	changes := map[string]any{}
	for _, kind := range changeKinds {
		changes[kind] = changeItem{}
	}
	answers := []struct {
		name  string
		asked any
		items map[string]any // by key
	}{
		{"who", whoAsked{}, map[string]any{"holders": whoItem{}}},
		{"history", historyAsked{}, map[string]any{"intervals": leaseItem{}}},
		{"at", atAsked{}, map[string]any{"leases": leaseItem{}}},
		{"map", mapAsked{}, map[string]any{"rows": rowItem{}}},
		{"timeline", timelineAsked{}, map[string]any{"spans": spanItem{}}},
		{"diff", diffAsked{}, changes},
		{"events", eventsAsked{}, map[string]any{"events": eventItem{}}},
		{"explain", explainAsked{}, map[string]any{"evidence": eventItem{}}},
		{"leases", leasesAsked{}, map[string]any{"leases": leaseItem{}}},
		{"networks", leasesAsked{}, map[string]any{"networks": networkItem{}}},
		{"verify", verifyAsked{}, map[string]any{"findings": findingItem{}}},
		{"stats", statsAsked{}, map[string]any{"networks": statsItem{}}},
		{"dump", dumpAsked{}, map[string]any{"records": dumpItem{}, "leases": leaseItem{}}},
		{"gc", gcAsked{}, map[string]any{"leases": judgedItem{}}},
		{"release", releaseAsked{}, map[string]any{"leases": judgedItem{}}},
		{"repair", repairAsked{}, map[string]any{"networks": mendingItem{}}},
		{"prune", pruneAsked{}, map[string]any{"networks": pruningItem{}}},
		{"hold", holdAsked{}, map[string]any{"holds": keptItem{}}},
		{"inspect", leasesAsked{}, map[string]any{"parts": partItem{}}},
		{"compact", compactAsked{}, map[string]any{"networks": compactionItem{}}},
		{"import", cacheAsked{}, map[string]any{"annotations": annotationItem{}}},
		{"import-host-local", takeoverAsked{}, map[string]any{"leases": takenItem{}}},
		{"export", exportAsked{}, map[string]any{"files": exportedFile{}}},
		{"backup", backupAsked{}, map[string]any{"networks": backedUpItem{}}},
		{"report", reportAsked{}, map[string]any{"networks": reportedItem{}}},
		{"restore", restoreAsked{}, map[string]any{"networks": restoredItem{}}},
	}
	c := &comparison{t: t, files: map[string]any{}, head: map[string]bool{}}
	for name, item := range items {
		c.object(name, c.file(name+".json"), reflect.TypeOf(item))
	}
	for _, a := range answers {
		items[a.name] = nil
		c.answer(a.name, a.asked, a.items)
	}
	items["join"] = nil
	joined := c.file("join.json").object()["$defs"].(map[string]any)["address"]
	c.object("join", schemaPart{"join.json", joined}, reflect.TypeFor[joinAnswer]())
	for field := range fieldsOf(reflect.TypeFor[answer]()) {
		if !c.head[field] {
			t.Errorf("%s of answers is in no schema", field)
		}
	}
	for name := range loadSchemas(t).byName {
		if _, ok := items[strings.TrimSuffix(strings.TrimPrefix(name, "leaselog."), "/1")]; !ok {
			t.Errorf("%s: no type is held against this schema", name)
		}
	}
}

// comparison holds schemas against types.
type comparison struct {
	t     *testing.T
	files map[string]any
	head  map[string]bool // fields of answer that some schema has
}

// schemaPart is a part of a schema.
type schemaPart struct {
	file string // that it is in
	any
}

func (n schemaPart) object() map[string]any {
	m, _ := n.any.(map[string]any)
	return m
}

func (c *comparison) file(name string) schemaPart {
	c.t.Helper()
	if c.files[name] == nil {
		b, err := os.ReadFile(filepath.Join(schemasDir, name))
		if err != nil {
			c.t.Fatal(err)
		}
		var schema any
		if err := json.Unmarshal(b, &schema); err != nil {
			c.t.Fatal(err)
		}
		c.files[name] = schema
	}
	return schemaPart{name, c.files[name]}
}

// all returns the part and those that it refers to.
func (c *comparison) all(n schemaPart) []schemaPart {
	ref, ok := n.object()["$ref"].(string)
	if !ok {
		return []schemaPart{n}
	}
	file, place, _ := strings.Cut(ref, "#")
	to := schemaPart{n.file, c.files[n.file]}
	if file != "" {
		to = c.file(file)
	}
	for _, key := range strings.Split(place, "/")[1:] {
		to.any = to.object()[key]
	}
	return append([]schemaPart{n}, c.all(to)...)
}

// find returns what the part, or one that it refers to, has under a key.
func (c *comparison) find(n schemaPart, key string) (schemaPart, bool) {
	for _, part := range c.all(n) {
		if v, ok := part.object()[key]; ok {
			return schemaPart{part.file, v}, true
		}
	}
	return schemaPart{}, false
}

// fields returns the properties of an object, and which of them are required.
func (c *comparison) fields(n schemaPart) (properties map[string]schemaPart, required map[string]bool, closed bool) {
	properties, required = map[string]schemaPart{}, map[string]bool{}
	for _, part := range c.all(n) {
		all, _ := part.object()["properties"].(map[string]any)
		for name, p := range all {
			properties[name] = schemaPart{part.file, p}
		}
		names, _ := part.object()["required"].([]any)
		for _, name := range names {
			required[name.(string)] = true
		}
		closed = closed || part.object()["additionalProperties"] == false || part.object()["unevaluatedProperties"] == false
	}
	return properties, required, closed
}

// field is one of a struct, as encoding/json sees it.
type field struct {
	typ      reflect.Type
	optional bool
}

func fieldsOf(typ reflect.Type) map[string]field {
	fields := map[string]field{}
	for _, f := range reflect.VisibleFields(typ) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && !f.Anonymous && name != "-" {
			fields[name] = field{f.Type, options == "omitempty"}
		}
	}
	return fields
}

// answer compares the schema of a command's answer: its head, the question, and the items under their keys.
func (c *comparison) answer(name string, asked any, items map[string]any) {
	properties, required, closed := c.fields(c.file(name + ".json"))
	if !closed {
		c.t.Errorf("%s: may have any other field", name)
	}
	head := fieldsOf(reflect.TypeFor[answer]())
	for key, f := range head {
		if properties[key].any == nil && !f.optional || required[key] != (properties[key].any != nil) && !f.optional {
			c.t.Errorf("%s: %s is in every answer, and has to be required", name, key)
		}
	}
	for key, p := range properties {
		switch f, ok := head[key]; {
		case key == "asked":
			c.object(name+".asked", p, reflect.TypeOf(asked))
		case items[key] != nil:
			c.value(name+"."+key, p, reflect.SliceOf(reflect.TypeOf(items[key])))
		case !ok:
			c.t.Errorf("%s: no answer has the field %s", name, key)
		case f.typ.Kind() != reflect.Interface:
			c.value(name+"."+key, p, f.typ)
		case name == "dump" && key == "header":
			c.value(name+"."+key, p, reflect.TypeFor[snapshotHead]())
		default:
			c.t.Errorf("%s: %s is anything", name, key)
		}
		c.head[key] = true
	}
	for key := range items {
		if properties[key].any == nil {
			c.t.Errorf("%s: the items' key %s is missing", name, key)
		}
	}
}

// object compares an object with a struct.
func (c *comparison) object(where string, n schemaPart, typ reflect.Type) {
	properties, required, closed := c.fields(n)
	fields := fieldsOf(typ)
	if !closed {
		c.t.Errorf("%s: may have any other field", where)
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if _, ok := fields[name]; !ok {
			c.t.Errorf("%s: nothing prints %s", where, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		p, ok := properties[name]
		switch f := fields[name]; {
		case !ok:
			c.t.Errorf("%s: %s is not in the schema", where, name)
		case f.optional == required[name]:
			c.t.Errorf("%s: %s: required is %t, may be absent %t", where, name, required[name], f.optional)
		case f.optional && f.typ.Kind() == reflect.Pointer: // absent rather than null
			c.value(where+"."+name, p, f.typ.Elem())
		default:
			c.value(where+"."+name, p, f.typ)
		}
	}
}

// value compares a value's schema with its type.
func (c *comparison) value(where string, n schemaPart, typ reflect.Type) {
	types := c.types(n)
	if typ.Kind() == reflect.Pointer {
		if !slices.Contains(types, "null") {
			c.t.Errorf("%s: may be null", where)
		}
		typ = typ.Elem()
	}
	want := jsonType(typ)
	if want != "" && !slices.Contains(types, want) {
		c.t.Errorf("%s: is a %s, and in the schema %v", where, want, types)
	}
	if alternatives, ok := c.find(n, "anyOf"); ok && want == "object" {
		for _, alternative := range alternatives.any.([]any) {
			if a := (schemaPart{alternatives.file, alternative}); slices.Contains(c.types(a), "object") {
				n = a
			}
		}
	}
	switch {
	case want == "array":
		element, ok := c.find(n, "items")
		if !ok {
			c.t.Errorf("%s: the schema says nothing of the items", where)
			return
		}
		c.value(where+"[]", element, typ.Elem())
	case want == "object" && typ.Kind() == reflect.Struct:
		c.object(where, n, typ)
	}
}

// types lists the types that a value may have.
func (c *comparison) types(n schemaPart) []string {
	if v, ok := c.find(n, "const"); ok {
		return []string{typeOfValue(v.any)}
	}
	var types []string
	if v, ok := c.find(n, "enum"); ok {
		for _, one := range v.any.([]any) {
			types = append(types, typeOfValue(one))
		}
		return types
	}
	if v, ok := c.find(n, "type"); ok {
		if list, ok := v.any.([]any); ok {
			for _, one := range list {
				types = append(types, one.(string))
			}
			return types
		}
		return []string{v.any.(string)}
	}
	if v, ok := c.find(n, "anyOf"); ok {
		for _, one := range v.any.([]any) {
			types = append(types, c.types(schemaPart{v.file, one})...)
		}
	}
	return types
}

func typeOfValue(v any) string {
	if _, ok := v.(string); ok {
		return "string"
	}
	return fmt.Sprintf("%T", v)
}

// jsonType is what encoding/json makes of a type, "" if anything.
func jsonType(typ reflect.Type) string {
	switch {
	case typ == reflect.TypeFor[json.Number]():
		return "integer"
	case typ.Implements(reflect.TypeFor[encoding.TextMarshaler]()), typ == reflect.TypeFor[[]byte]():
		return "string"
	}
	switch typ.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice, reflect.Array:
		return "array"
	case reflect.Map, reflect.Struct:
		return "object"
	case reflect.Float64:
		return "number"
	case reflect.Interface:
		return ""
	}
	return "integer"
}

// TestSchemasHaveAllNames holds the lists of names in the schemas against those that there are.
func TestSchemasHaveAllNames(t *testing.T) {
	var kinds, reasons, states []string
	for _, k := range journal.Kinds() {
		kinds = append(kinds, k.String())
	}
	for r := journal.Reason(1); !strings.HasPrefix(r.String(), "reason("); r++ {
		reasons = append(reasons, r.String())
	}
	for s := replay.StateUnknown; s <= replay.StateNotOurs; s++ {
		states = append(states, s.String())
	}
	var severities, verdicts []string
	for s := replay.SeverityNote; s <= replay.SeverityDamage; s++ {
		severities = append(severities, s.String())
	}
	for _, v := range []verdict{verdictKept, verdictCondemned, verdictReleased, verdictChanged, verdictFailed} {
		verdicts = append(verdicts, string(v))
	}
	tests := []struct {
		name, file, place string
		want              []string
	}{
		{"kinds", sharedSchema, "$defs/kind/anyOf/0", kinds},
		{"reasons", sharedSchema, "$defs/reason/anyOf/0", reasons},
		{"states", sharedSchema, "$defs/state", states},
		{"certainty", sharedSchema, "$defs/certainty", []string{replay.Certain.String(), replay.Uncertain.String(), replay.Unknown.String()}},
		{"changes", "change.json", "properties/change", changeKinds[:]},
		{"severities", "finding.json", "properties/severity", severities},
		{"verdicts", "judged.json", "properties/verdict", verdicts},
		{"findings", "judged.json", "properties/grounds/items/properties/finding", findingNames[:]},
		{"outcomes", "taken.json", "properties/outcome", []string{outcomeImported, outcomeBlocked, outcomeHeld, outcomeConflict}},
	}
	c := &comparison{t: t, files: map[string]any{}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at := c.file(tt.file).any
			for key := range strings.SplitSeq(tt.place, "/") {
				switch v := at.(type) {
				case map[string]any:
					at = v[key]
				case []any:
					at = v[0]
				}
			}
			if got := fmt.Sprint(schemaPart{any: at}.object()["enum"]); got != fmt.Sprint(tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
