"""The vault: card numbers and what they are worth. A schema, a role and keys of its own; nothing
else of Holdfast ever holds a number.
"""
