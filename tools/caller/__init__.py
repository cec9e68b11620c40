"""A caller in the box: plays OpenSIPS and the phone at once, and judges what it hears."""
