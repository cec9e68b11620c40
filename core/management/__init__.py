"""What operators and orchestrators ask over HTTP."""
