"""Ways for calls to come in, each behind `core.leg.Transport`."""
