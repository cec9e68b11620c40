"""Servers of others, as their public protocols describe them, for tests and demonstrations without them."""
