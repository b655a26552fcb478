"""Report folders: written, sealed, read, verified, and listed in the ledger."""
