"""A fleet of real servers on loopback, and the registry that describes it."""
