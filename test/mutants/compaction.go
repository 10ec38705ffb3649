package main

// compactionMutants are mistakes in what moves history to the archive and packs it.
var compactionMutants = []mutant{
	{"one snapshot is enough for a segment to go", []edit{{"allocator/settle.go",
		"		covered = have[len(have)-keptSnapshots]\n",
		"		covered = have[len(have)-1]\n"}},
		[]string{"./allocator -run ^TestSettling$"}},
	{"segments removed before they are packed", []edit{{"compaction/pack.go",
		"	if err := p.pack(ctx, r); err != nil {",
		"	if err := w.removeSegments(p.remove); err != nil {\n		return err\n	}\n	p.remove = nil\n	if err := p.pack(ctx, r); err != nil {"}},
		[]string{"./compaction -run ^TestRun$"}},
	{"the packed file to be merged removed before the new one is there", []edit{{"compaction/pack.go",
		"	if err := p.pack(ctx, r); err != nil {",
		"	if p.newest != nil {\n		if err := w.removePacked([]archive.Head{*p.newest}); err != nil {\n			return err\n		}\n	}\n	if err := p.pack(ctx, r); err != nil {"}},
		[]string{"./compaction -run ^TestKilled$"}},
	{"what a dead run packed is believed", []edit{{"compaction/loose.go",
		"		if !bytes.Equal(raw, rec.Raw) {",
		"		if !bytes.Equal(raw, rec.Raw) && false {"}},
		[]string{"./compaction -run ^TestDoublesDiffer$"}},
	{"keyframes a little late", []edit{{"compaction/keyframes.go",
		"	due := max(k.last+k.every, first-1)\n",
		"	due := max(k.last+k.every+1, first-1)\n"}},
		[]string{"./compaction -run ^TestKeyframes$"}},
	{"two compactions at once", []edit{{"compaction/compaction.go",
		"	if err == nil && !ok {\n",
		"	if err == nil && !ok && false {\n"}},
		[]string{"./compaction -run ^TestSecondLeaves$"}},
}
