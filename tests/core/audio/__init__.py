"""Tests of core.audio."""
