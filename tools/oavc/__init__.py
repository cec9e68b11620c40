"""The command line `oavc`: runs the connector on one machine, calls it, and checks what it needs."""
