"""The recognisers, language models and voices a configuration can name."""
