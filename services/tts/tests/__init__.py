"""Tests of the speech synthesis."""
