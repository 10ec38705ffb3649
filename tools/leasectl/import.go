package main

import "github.com/spf13/cobra"

func (a *app) importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Take over what other programs know of leases",
		Args:  noArgument,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.importHostLocalCommand())
	cmd.AddCommand(a.importCacheCommand())
	return cmd
}
