"""Generates the gRPC stubs."""
