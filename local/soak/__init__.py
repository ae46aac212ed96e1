"""Faults in the real stack under a stream of reports, and a ledger of what became of it."""
