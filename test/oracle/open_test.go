package oracle_test

// open reports whether a case is one of those about which the two answerers are known to disagree: where a snapshot of the
// middle of a gap says what was held there, they name other leases beside an answer that is unknown.
func open(w *world) bool {
	for _, snap := range w.s.Snapshots {
		if w.c.Lost[snap.Seq-1] && w.c.Lost[snap.Seq] {
			return true
		}
	}
	return false
}
