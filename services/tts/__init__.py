"""Text to speech: a gRPC service that streams speech clause by clause."""
