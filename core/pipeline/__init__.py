"""The conversation of one call: voice activity, turns, replies and speech, tied together by pipecat."""
