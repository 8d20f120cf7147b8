"""The node platform: what Network, Domain and Worker apps are composed from (server side)."""
