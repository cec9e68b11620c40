"""Calls: which are taken, how one runs, and how they end when the process does."""
