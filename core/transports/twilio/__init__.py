"""Calls that come over Twilio's Media Streams."""
