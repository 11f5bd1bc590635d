"""Tells others what happens: events, customers' webhooks, messages to users."""
