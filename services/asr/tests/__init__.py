"""Tests of the speech-to-text service."""
