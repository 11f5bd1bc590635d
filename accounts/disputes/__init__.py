"""Disputes about charges (12 CFR 1026.13)."""
