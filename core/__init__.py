"""Calls, media, turn-taking and dialogue: the process that answers the phone."""
