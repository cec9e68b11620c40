"""Calls through OpenSIPS: commands over MI, events back, SIP dialogs as UA sessions of b2b_entities."""
