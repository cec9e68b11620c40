"""Text generation as a gRPC service: many calls share one model, each keeps its prompt's cache."""
