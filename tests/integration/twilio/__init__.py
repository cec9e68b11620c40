"""Core as a process of its own, called over Twilio's Media Streams, as it should be and as it should not."""
