package oracle

import "net/netip"

// Joint is the answer of several stores together.
type Joint struct {
	State     State
	Answers   []Answer // of each store
	Several   bool
	Uncertain bool
}

// Exit is the exit code that the answer has.
func (j *Joint) Exit() int {
	a := Answer{State: j.State, Several: j.Several, Uncertain: j.Uncertain}
	return a.Exit()
}

// Who answers for several stores who held the address. A store that doesn't know makes the whole unknown only if the
// address may be in its ranges.
func Who(pasts []*Past, ip netip.Addr, q Question) Joint {
	j := Joint{State: NotOurs}
	holders, ignored := 0, 0
	for _, p := range pasts {
		a := p.Who(ip, q)
		j.Answers = append(j.Answers, a)
		if a.State == Unknown && !p.Store.MayHold(ip) {
			ignored++
			continue
		}
		j.State = max(j.State, a.State)
		j.Several = j.Several || a.Several
		j.Uncertain = j.Uncertain || a.Uncertain
		if a.State == Held {
			holders++
		}
	}
	if ignored == len(pasts) {
		j.State = Unknown
	}
	j.Several = j.Several || holders > 1
	return j
}
