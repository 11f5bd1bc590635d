"""What users are told: by email, text message, or the issuer's app."""
