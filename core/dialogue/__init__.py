"""What may be said: the greeting, facts from the knowledge file, and what is left to the model."""
