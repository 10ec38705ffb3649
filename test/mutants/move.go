package main

// moveMutants are mistakes about host-local's files and about leases that are stale, each with the test of test/move that
// notices.
var moveMutants = []mutant{
	{"move: a removed file not noticed", []edit{{"allocator/hostlocalview.go",
		"	case !found && shown:",
		"	case !found && v == nil:"}},
		[]string{"./test/move -run ^TestRaceAtTheSwitch$", "./test/move -run ^TestViewFromTheStart$", "./test/move -run ^TestReasons$"}},
	{"move: imported without host-local's lock", []edit{{"allocator/import.go",
		"	if err := t.lockHostLocal(folder); err != nil {",
		"	if err := error(nil); err != nil {"}},
		[]string{"./test/move -run ^TestImportWaits$"}},
	{"move: cursors not imported", []edit{{"allocator/import.go",
		"Version: t.store.o.Version, Cursors: im.Cursors,",
		"Version: t.store.o.Version,"}},
		[]string{"./test/move -run ^TestEveryKindOfState$", "./test/move -run ^TestOldCursor$"}},
	{"move: survivors of a reboot released", []edit{{"allocator/reclaim.go",
		"	case earlier(l, s.boot):\n		sight, why := netns.Look(l.NetNS, l.NetNSID)\n		return \"boot \" + l.Clock.Boot.String() + \"; \" + why, sight != netns.Alive",
		"	case earlier(l, s.boot):\n		sight, why := netns.Look(l.NetNS, l.NetNSID)\n		return \"boot \" + l.Clock.Boot.String() + \"; \" + why, sight <= netns.Gone"}},
		[]string{"./test/move -run ^TestReboot$"}},
	{"move: unseen counts as gone", []edit{{"allocator/reclaim.go",
		"	return why, sight == netns.Gone &&",
		"	return why, sight != netns.Alive &&"}},
		[]string{"./test/move -run ^TestStaleLeaseTaken$"}},
	{"move: a living owner's lease replaced", []edit{{"allocator/reclaim.go",
		"		why, ok := r.stale(&held[i])\n		if !ok {\n			return stale\n		}\n		evidence = why",
		"		evidence, _ = r.stale(&held[i])"}},
		[]string{"./test/move -run ^TestStaleLeaseTaken$"}},
	{"move: files believed after a reboot", []edit{{"allocator/hostlocalview.go",
		"	if words[0] != boot.String() {",
		"	if words[0] == \"\" {"}},
		[]string{"./test/move -run ^TestFilesAfterPowerLoss$"}},
}
