"""Tests of core.sdp."""
