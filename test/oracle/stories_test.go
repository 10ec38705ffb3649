package oracle_test

// stories are answers argued from docs/FORENSICS.md, one trap each.
var stories = []struct {
	name    string
	because string
	events  string
	answers string
}{
	{
		name: "half open", because: "a lease is [start, end): at the instant of its end it is over",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			4 A 20 20 0 del c1 2
			live 30`,
		answers: `
			2 at 10-1: unknown 3
			2 at 10: held 0 c1[3,4)
			2 at 20-1: held 0 c1[3,4)
			2 at 20: free 1
			2 at 30: free 1
			2 at 30+1: unknown 3
			2 now: free 1
			1 at 15: gateway 1
			7 at 15: not ours 1
			1.2 at 15: not ours 1`,
	},
	{
		name: "before the first add", because: "no add has recorded its ranges, so nobody knows whether the address was ours",
		events: `
			1 A 0 0 0 genesis
			2 A 10 10 0 config
			3 A 10 10 0 add c1 2`,
		answers: `
			2 at 0-1: unknown 3
			2 at 0: unknown 3
			2 at 10: held 0 c1[3,0)`,
	},
	{
		name: "a copy ends with its last event", because: "what came after the copy was made is not in it",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2`,
		answers: `
			2 at 10: held 0 c1[3,0)
			2 at 10+1: unknown 3`,
	},
	{
		name: "error of the clock, held on one side", because: "within the bound the add may have been before or after T",
		events: `
			1 A 0 0 2 genesis
			2 A 1 1 2 config
			3 A 1 1 2 add c9 3
			4 A 10 10 2 add c1 2
			5 A 20 20 2 del c1 2
			6 A 40 40 2 refuse
			live 50`,
		answers: `
			2 at 8-1: free 1
			2 at 8: held 2 c1[4,5)?
			2 at 12-1: held 2 c1[4,5)
			2 at 12: held 0 c1[4,5)
			2 at 18-1: held 0 c1[4,5)
			2 at 18: held 2 c1[4,5)
			2 at 22-1: held 2 c1[4,5)?
			2 at 22: free 1
			3 at 10: held 0 c9[3,0)`,
	},
	{
		name: "error of the last event's clock", because: "the last event may have been before T as any other",
		events: `
			1 A 0 0 2 genesis
			2 A 1 1 2 config
			3 A 1 1 2 add c9 3
			4 A 10 10 2 add c1 2
			live 50`,
		answers: `
			2 at 8-1: free 1
			2 at 8: held 2 c1[4,0)?
			2 at 10: held 2 c1[4,0)
			2 at 12: held 0 c1[4,0)`,
	},
	{
		name: "no clock vouched for", because: "one second either way where no event of the boot was synchronised",
		events: `
			1 A 0 0 no genesis
			2 A 1 1 no config
			3 A 1 1 no add c9 3
			4 A 10 10 no add c1 2
			5 A 20 20 no refuse`,
		answers: `
			2 at 9-1: free 1
			2 at 9: held 2 c1[4,0)?
			2 at 11: held 0 c1[4,0)`,
	},
	{
		name: "clock set right late in a boot", because: "the offset of the last synchronised event corrects what came before; what was recorded counts as well",
		events: `
			1 A 0 100 no genesis
			2 A 1 101 no config
			3 A 1 101 no add c9 3
			4 A 10 110 no add c1 2
			5 A 20 1020 0 refuse
			6 A 30 1030 0 del c1 2
			live 1050`,
		answers: `
			2 at 1010-1: held 2 c1[4,6)
			2 at 1010: held 0 c1[4,6)
			2 at 1030: free 1
			2 at 110: unknown 3 c1[4,6)`,
	},
	{
		name: "clock set back without correction", because: "the instant was twice: all who held it are given",
		events: `
			1 A 0 0 no genesis
			2 A 1 1 no config
			3 A 100 100 no add c1 2
			4 A 150 150 no del c1 2
			5 A 151 120 no add c2 2
			6 A 160 129 no refuse
			7 A 200 169 no refuse`,
		answers: `
			2 at 110: held 0 c1[3,4)
			2 at 125: held 2 c1[3,4) c2[5,0)
			2 at 140: held 2 c1[3,4) c2[5,0)
			2 at 155: held 0 c2[5,0)`,
	},
	{
		name: "recorded and effective time differ", because: "a log beside it may have used the clock as it stood, so the recorded time counts too",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 1 1 0 add c9 3
			4 A 100 200 no add c1 2
			5 A 110 210 no del c1 2
			6 A 300 300 0 refuse
			live 400`,
		answers: `
			2 at 105: held 2 c1[4,5)
			2 at 205: held 2 c1[4,5)
			2 at 150: free 1
			2 at 199: free 1`,
	},
	{
		name: "given and ended in the same nanosecond", because: "it never is a candidate, and it is named",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			4 A 10 10 0 del c1 2
			5 A 20 20 0 refuse`,
		answers: `
			2 at 10: free 1 c1[3,4)!
			2 at 10+1: free 1
			2 at 12 skew 2: free 1 c1[3,4)!`,
	},
	{
		name: "restarted, and the lease given back later", because: "in a new boot nothing of the old one runs; since its last event nobody knows",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			4 A 20 20 0 refuse
			5 B 5 100 0 refuse
			6 B 10 105 0 del c1 2`,
		answers: `
			2 at 15: held 0 c1[3,6)
			2 at 20: held 0 c1[3,6)
			2 at 20+1: held 2 c1[3,6)?
			2 at 102: held 2 c1[3,6)?
			2 at 105: free 1`,
	},
	{
		name: "restarted, and the lease never ended", because: "as if it had been reclaimed: what counts is that a later boot is there",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			4 B 5 100 0 refuse
			live 200`,
		answers: `
			2 at 10: held 0 c1[3,0)
			2 at 10+1: held 2 c1[3,0)?
			2 now: held 2 c1[3,0)?`,
	},
	{
		name: "garbage collected", because: "the runtime no longer listed it; it was in use when it was given, and when an earlier GC spared it",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			4 A 11 11 0 add c2 3
			5 A 12 12 0 add c3 4
			6 A 100 100 0 gc c2 3
			7 A 130 130 0 gc c3 4
			8 A 300 300 0 gc c1 2`,
		answers: `
			2 at 10: held 0 c1[3,8)
			2 at 99: held 0 c1[3,8)
			2 at 100: held 0 c1[3,8)
			2 at 100+1: held 2 c1[3,8)?
			2 at 299: held 2 c1[3,8)?
			3 at 11: held 0 c2[4,6)
			3 at 12: held 2 c2[4,6)?`,
	},
	{
		name: "garbage collected in a run that was going on", because: "the run that ends the lease has not spared it, though it began with another",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			4 A 11 11 0 add c2 3
			5 A 100 100 0 gc c2 3
			6 A 160 160 0 gc c1 2`,
		answers: `
			2 at 10: held 0 c1[3,6)
			2 at 12: held 2 c1[3,6)?`,
	},
	{
		name: "by an operator's force", because: "nothing says how long it was used before the order",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			4 A 50 50 0 release force c1 2`,
		answers: `
			2 at 10: held 0 c1[3,4)
			2 at 11: held 2 c1[3,4)?
			2 at 50: free 1`,
	},
	{
		name: "wiped", because: "the folder was there at the last call before",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			4 A 20 20 0 refuse
			5 A 50 50 0 reset`,
		answers: `
			2 at 20: held 0 c1[3,5)
			2 at 20+1: held 2 c1[3,5)?
			2 at 50: free 1`,
	},
	{
		name: "wiped, and no call since", because: "readers see no leases at once; when it was, nobody knows",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			live 50
			wiped`,
		answers: `
			2 at 10: held 0 c1[3,0)
			2 at 30: held 2 c1[3,0)?
			2 now: free 1`,
	},
	{
		name: "an import claims what was before it", because: "its source says that the lease began earlier, so before it nobody knows",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 1 1 0 add c9 3
			4 A 100 100 0 import c1 2 claimed=50
			5 A 101 101 0 import c2 4
			6 A 102 102 0 import c3 5 claimed=50 carried`,
		answers: `
			2 at 49: free 1
			2 at 50: unknown 3
			2 at 45 skew 5: unknown 3
			2 at 45 skew 4: free 1
			4 at 49: unknown 3
			5 at 60: free 1
			2 at 100: held 0 c1[4,0)`,
	},
	{
		name: "blocked and doubtful", because: "nobody knows by whom; and what a repair doubts stays doubtful",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 blocked 2
			3 A 2 2 0 import c1 3 doubt carried
			4 A 9 9 0 refuse`,
		answers: `
			2 at 5: held 2 [2,0)?
			3 at 5: held 2 c1[3,0)?`,
	},
	{
		name: "a repair lost events of the parent", because: "until a reset or a restart, what the lost events gave may be in use",
		events: `
			1 A 0 0 0 genesis lost=2
			2 A 1 1 0 config
			3 A 1 1 0 add c9 3
			4 A 9 9 0 refuse
			5 B 1 100 0 refuse`,
		answers: `
			2 at 5: free 2
			3 at 5: held 0 c9[3,0)
			2 at 100-1: free 2
			2 at 100: free 1`,
	},
	{
		name: "configuration changed", because: "the ranges of the last add that names a configuration are in force, and all that came with a call",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			4 A 20 20 0 del c1 2
			5 A 30 30 0 config high
			6 A 40 40 0 add c2 1.2
			7 A 50 50 0 add c3 3 config=5 brings=low
			8 A 60 60 0 refuse`,
		answers: `
			2 at 35: free 1
			1.3 at 35: not ours 1
			2 at 45: not ours 1
			1.3 at 45: free 1
			2 at 55: free 1
			1.1 at 55: gateway 1
			1 at 55: gateway 1
			2 at 40 skew 1: free 2`,
	},
	{
		name: "ranges not recorded", because: "unknown must not look like free, nor like not ours",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			4 A 20 20 0 add c2 3 dropped
			5 A 30 30 0 add c3 4
			6 A 40 40 0 config none
			7 A 50 50 0 add c4 5
			8 A 60 60 0 refuse`,
		answers: `
			6 at 15: free 1
			1.2 at 15: not ours 1
			6 at 25: unknown 3
			2 at 25: held 0 c1[3,0)
			6 at 35: free 1
			1.2 at 35: unknown 3
			6 at 55: unknown 3`,
	},
	{
		name: "pruned", because: "what was held before the first event is not known until an event settles it; ranges until an add names them",
		events: `
			11 A 10 10 0 refuse
			12 A 20 20 0 del c1 2
			13 A 30 30 0 annotate c2 3
			14 A 40 40 0 config
			15 A 50 50 0 add c3 4
			16 A 60 60 0 reset
			17 A 70 70 0 refuse`,
		answers: `
			2 at 10: held 0 c1[0,12)
			2 at 19: held 0 c1[0,12)
			2 at 20: unknown 3
			2 at 50: free 1
			3 at 10: held 0 c2[0,16)
			4 at 45: unknown 3
			4 at 50: held 0 c3[15,16)
			5 at 55: unknown 3
			5 at 60: free 1
			2 at 10-1: unknown 3`,
	},
	{
		name: "pruned behind a snapshot", because: "the snapshot tells all, with the start of each lease",
		events: `
			snapshot 10 c1 2 4 A 5
			11 A 10 10 0 config
			12 A 20 20 0 add c2 3
			13 A 30 30 0 del c1 2`,
		answers: `
			2 at 10: held 0 c1[4,13)
			3 at 10: unknown 3
			3 at 20: held 0 c2[12,0)
			5 at 20: free 1
			2 at 30: free 1`,
	},
	{
		name: "damaged in the middle", because: "in the gap nobody knows; behind it each address settles by itself",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			4 A 11 11 0 add c2 3
			5 A 12 12 0 add c3 4
			9 A 50 50 0 refuse
			10 A 60 60 0 del c1 2
			11 A 61 61 0 add c4 3
			12 A 70 70 0 refuse`,
		answers: `
			2 at 11: held 0 c1[3,10)
			2 at 12: held 0 c1[3,10)
			2 at 12+1: unknown 3
			2 at 50-1: unknown 3
			2 at 50: held 0 c1[3,10)
			2 at 60: unknown 3
			2 at 61: free 1
			3 at 11: held 0 c2[4,0)
			3 at 55: unknown 3
			3 at 61: held 0 c4[11,0)
			4 at 65: unknown 3`,
	},
	{
		name: "snapshot behind damage", because: "a snapshot settles all, from the start of each lease that it tells",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			9 A 50 50 0 refuse
			10 A 60 60 0 add c5 6
			11 A 70 70 0 refuse
			snapshot 10 c1 2 3 A 10 c4 3 7 A 20 c5 6 10 A 60`,
		answers: `
			2 at 30: held 0 c1[3,0)
			3 at 30: held 0 c4[7,0)
			3 at 12: unknown 3
			2 at 50: held 0 c1[3,0)
			3 at 50: held 0 c4[7,0)
			4 at 50: unknown 3
			4 at 60: free 1`,
	},
	{
		name: "another holder behind damage", because: "the first event behind the gap speaks of another attachment",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			6 A 50 50 0 refuse
			7 A 60 60 0 del c2 2`,
		answers: `
			2 at 10: held 0 c1[3,0)
			2 at 50: held 0 c2[0,7)`,
	},
	{
		name: "a snapshot of lost events knows another start", because: "the same attachment was given the address again inside the gap",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			6 A 50 50 0 refuse
			7 A 60 60 0 del c1 2
			snapshot 5 c1 2 5 A 40`,
		answers: `
			2 at 10: held 0 c1[3,0)
			2 at 39: unknown 3
			2 at 40: held 0 c1[5,7)
			2 at 50: held 0 c1[5,7)`,
	},
	{
		name: "skew", because: "the longest holder first, never a silent pick; a part of the span is an answer",
		events: `
			1 A 0 0 0 genesis
			2 A 1 1 0 config
			3 A 10 10 0 add c1 2
			4 A 20 20 0 del c1 2
			5 A 21 21 0 add c2 2
			6 A 90 90 0 del c2 2
			7 A 99 99 0 refuse`,
		answers: `
			2 at 20 skew 8: held 2 c1[3,4) c2[5,6)
			2 at 24 skew 8: held 2 c2[5,6) c1[3,4)
			2 at 16 skew 5: held 2 c1[3,4) c2[5,6)
			2 at 16 skew 4: held 0 c1[3,4)
			2 at 90 skew 5: held 0 c2[5,6)
			2 at 95 skew 4: free 1
			2 at 95 skew 5: unknown 3`,
	},
	{
		name: "no boot ID", because: "nobody knows which events share a boot, so no clock corrects another",
		events: `
			1 - 0 0 no genesis
			2 - 1 1 no config
			3 - 10 10 no add c1 2
			4 - 20 1020 0 del c1 2`,
		answers: `
			2 at 12: held 0 c1[3,4)
			2 at 1000: held 0 c1[3,4)`,
	},
	{
		name: "now, whatever the clock says", because: "the last position is the one that now is about",
		events: `
			1 A 0 0 no genesis
			2 A 1 1 no config
			3 A 10 10 no add c1 2
			4 A 20 20 no del c1 2
			5 A 30 900 no add c2 2
			live 15`,
		answers: `
			2 now: held 0 c2[5,0)
			2 at 15: held 0 c1[3,4)`,
	},
	{
		name: "two boots that overlap", because: "the clock of the new boot was behind; order is the sequence number, and both are given",
		events: `
			1 A 0 0 no genesis
			2 A 1 1 no config
			3 A 100 100 no add c1 2
			4 A 150 150 no refuse
			5 A 151 151 no del c1 2
			6 B 1 120 no add c2 2
			7 B 60 179 no refuse`,
		answers: `
			2 at 110: held 0 c1[3,5)
			2 at 130: held 2 c1[3,5) c2[6,0)
			2 at 160: held 0 c2[6,0)`,
	},
}
