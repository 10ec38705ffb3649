package main

import "context"

func (b *bench) report(ctx context.Context) error { return nil }
