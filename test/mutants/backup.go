package main

// backupMutants are mistakes in what copies stores, and makes stores of copies.
var backupMutants = []mutant{
	{"a digest not compared", []edit{{"backup/read.go",
		"	if hex.EncodeToString(sum.Sum(nil)) != strings.ToLower(file.SHA256) {",
		"	if hex.EncodeToString(sum.Sum(nil)) == \"\" {"}},
		[]string{"./backup -run ^TestHostile$"}},
	{"entries are followed as the tar file has them", []edit{{"backup/read.go",
		"	if h.Name != s.nameOf(file) || h.Size != file.Bytes || !plain(h) {",
		"	if h.Name != s.nameOf(file) {"}},
		[]string{"./backup -run ^TestHostile$"}},
	{"what was unpacked is not read", []edit{{"backup/restore.go",
		"		if err := c.check(dir); err != nil {",
		"		if err := error(nil); err != nil {"}},
		[]string{"./backup -run ^TestHostile$"}},
	{"restored leases called certain", []edit{{"allocator/restore.go",
		"	if err := f.lose(segmentEvents); err != nil {",
		"	if err := f.lose(0); err != nil {"}},
		[]string{"./backup -run ^TestRoundTrip$"}},
	{"what came after a backup is nothing", []edit{{"tools/leasectl/past.go",
		"	if !h.backup.IsZero() {\n		return h.told",
		"	if false {\n		return h.told"}},
		[]string{"./tools/leasectl -run ^TestRestoredAnswers$"}},
	{"no snapshot is made of packed files", []edit{{"allocator/rebuild.go",
		"	if r.store.o.Packed.Pieces == nil || damage.Offset >= 0 {",
		"	if true {"}},
		[]string{"./backup -run ^TestRepairPacked$"}},
}
