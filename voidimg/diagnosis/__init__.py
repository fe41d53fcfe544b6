"""Says whether this machine can build, and whether its repositories can be used."""
