"""Speech to text: callers' audio in over gRPC, transcripts out while they speak."""
