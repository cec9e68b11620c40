"""Tests of core, laid out as core is."""
