"""Events: what happened, as others are told: the catalogue, and how services hand events over."""
