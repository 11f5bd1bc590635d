"""What every Holdfast process shares: settings, ids, money, clock, storage, gRPC plumbing."""
