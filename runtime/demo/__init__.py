"""The demonstration: what a card programme does in a minute, shown and checked."""
