"""Benchmarks: each prints a table and writes its figures to build/bench."""
