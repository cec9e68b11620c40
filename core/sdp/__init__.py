"""Session descriptions: what a caller offers and what it is answered (RFC 8866, RFC 3264)."""
