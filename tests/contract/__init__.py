"""One suite a seam, run by every implementation of it."""
