"""Audio as arithmetic: codecs, resampling, levels, concealment."""
