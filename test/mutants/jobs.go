package main

// The tests of jobMutants.
const (
	killedJobs    = "./test/jobs -run ^TestInterrupted$"
	jobsPowerLoss = "./test/crash -run ^TestJobsPowerLoss$"
)

// jobMutants are mistakes in the jobs beside the plugin: compaction, pruning, backups.
var jobMutants = []mutant{
	{"jobs: events go before the tombstone is there", []edit{{"compaction/prune.go",
		"	ev, err := w.entomb(p, &gone)\n",
		"	if _, _, err := w.removeBefore(p.r, stays); err != nil {\n		return err\n	}\n	ev, err := w.entomb(p, &gone)\n"}},
		[]string{killedJobs + "/^prune$ -fault killed", jobsPowerLoss + "/^prune$"}},
	{"jobs: what a dead run left stays", []edit{{"compaction/compaction.go",
		"	if err != nil || len(names) == 0 {\n		return err",
		"	if err != nil || len(names) >= 0 {\n		return err"}},
		[]string{killedJobs + "/^compact$ -fault killed"}},
	{"jobs: a packed file has its name before it is whole", []edit{{"journal/archive/pack.go",
		"	tmp := filepath.Join(folder, fmt.Sprintf(\"tmp.%d%s\", os.Getpid(), nameEnd))\n",
		"	tmp := filepath.Join(folder, Name(first, last))\n"}},
		[]string{killedJobs + "/^compact$ -fault killed"}},
	{"jobs: the first event goes with its segment", []edit{{"compaction/pack.go",
		"		if first == 1 {\n			continue\n		}\n		if err := os.Remove(",
		"		if err := os.Remove("}},
		[]string{killedJobs + "/^compact$"}},
	{"jobs: a packed file is not synced", []edit{{"journal/archive/writer.go",
		"	return w.f.Sync()\n",
		"	return nil\n"}},
		[]string{jobsPowerLoss + "/^compact$"}},
	{"jobs: segments go before the packed file's name is synced", []edit{{"journal/archive/pack.go",
		"	if err := journal.SyncDir(folder); err != nil {",
		"	if err := error(nil); err != nil {"}},
		[]string{jobsPowerLoss + "/^compact$"}},
	{"jobs: the segment of the first event is not synced", []edit{{"compaction/loose.go",
		"	if err == nil {\n		err = f.Sync()\n	}\n",
		""}},
		[]string{jobsPowerLoss + "/^compact$"}},
	{"jobs: the lock of a scratch folder goes first", []edit{{"backup/scratch.go",
		"		if e.Name() == scratchLock {\n			continue\n		}\n",
		"		if e.Name() == scratchLock {\n			_ = os.Remove(filepath.Join(s.dir, scratchLock))\n			continue\n		}\n"}},
		[]string{killedJobs + "/^backup$ -fault killed"}},
}
