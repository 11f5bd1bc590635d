"""Accounts and cards: who may spend, up to which limit, with which card in which state."""
