"""Tests of core.rtp."""
