"""The audit log: who did what to which resource, allowed or refused, in a chain of hashes."""
