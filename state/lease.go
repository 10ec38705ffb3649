package state

import (
	"github.com/leaselog/leaselog/journal"
)

// Attachment names a container's interface on a network: who a lease belongs to.
// The network is the store's. It is comparable; the zero Attachment owns nothing.
type Attachment struct {
	ContainerID string
	IfName      string
}

// Lease is an address held by an attachment.
type Lease struct {
	journal.Address
	Attachment
	NetNS   string
	NetNSID journal.NetNSID // of NetNS when the lease was given or annotated
	Pod     journal.Pod
	Start   journal.Seq   // the event that gave the address
	Clock   journal.Clock // of that event
	Claimed int64         // imported leases: when it began by its source's word, UTC nanoseconds
	Import  bool          // taken over from elsewhere, not given by an ADD
	Blocked bool          // held back without a known owner; Attachment is zero
}

// Path returns the file that the snapshot was opened from.
func (s *Snapshot) Path() string { return s.path }
