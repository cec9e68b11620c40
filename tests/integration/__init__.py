"""Whole processes with scripted providers, on real sockets."""
