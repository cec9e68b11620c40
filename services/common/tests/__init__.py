"""Tests of what any process needs."""
