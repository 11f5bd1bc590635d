"""Statistics: what was spent by day, week and month, counted from the ledger."""
