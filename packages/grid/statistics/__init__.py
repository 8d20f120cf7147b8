"""Statistics on the tables of a Domain: partial aggregates, which a scientist's SDK combines."""
