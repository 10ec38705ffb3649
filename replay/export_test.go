package replay

// Confirm is what Verify makes of several looks at a store.
func Confirm(look func() (*Verified, error)) (*Verified, error) { return confirm(look) }
