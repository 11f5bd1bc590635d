"""What every Holdfast process shares: settings, ids, money, clock, storage clients, gRPC plumbing."""
