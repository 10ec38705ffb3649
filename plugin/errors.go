package plugin

import (
	"errors"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/leaselog/leaselog/allocator"
	"github.com/leaselog/leaselog/journal"
)

// codeLease is CHECK's: no lease, or another one than expected. It follows on the codes
// of refusals in package allocator.
const codeLease uint = 103

// invalid returns the error for a configuration that can't be used.
func invalid(text string) error {
	return types.NewError(types.ErrInvalidNetworkConfig, text, "")
}

// coded returns err as the CNI library prints it. It must be the outermost error,
// since the library drops whatever is wrapped around one of its own.
func coded(err error) error {
	return types.NewError(codeOf(err), err.Error(), advice(err))
}

// advice says what to do about an error, where that is not plain from its text.
func advice(err error) string {
	if _, ok := errors.AsType[*journal.CorruptionError](err); ok && !errors.Is(err, journal.ErrNewer) {
		return "run leasectl verify, then leasectl repair --dry-run"
	}
	return ""
}

// codeOf says which CNI code an error of the store has.
func codeOf(err error) uint {
	var refusal *allocator.Refusal
	switch {
	case errors.As(err, &refusal):
		return uint(refusal.Code())
	case errors.Is(err, allocator.ErrNoLease):
		return codeLease
	case errors.Is(err, journal.ErrLocked), errors.Is(err, journal.ErrReplaced), errors.Is(err, allocator.ErrChanging):
		return types.ErrTryAgainLater
	case errors.Is(err, allocator.ErrIDTooLong):
		return types.ErrInvalidEnvironmentVariables
	case errors.Is(err, allocator.ErrTooLarge), errors.Is(err, journal.ErrTooLarge):
		return types.ErrInvalidNetworkConfig
	default:
		return types.ErrIOFailure
	}
}
