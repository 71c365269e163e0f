"""Named runs: begun, locked, read back and resumed."""
