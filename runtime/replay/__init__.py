"""Replays a file of card purchases through a running mesh, and checks every cent."""
