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
}
