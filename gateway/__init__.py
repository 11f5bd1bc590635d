"""What Envoy asks: the keys that access tokens are signed with."""
