"""The authorizer: decides card purchases, keeps available credit, journals and settles."""
