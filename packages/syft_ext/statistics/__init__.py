"""Statistics over the tables of one Domain or several: the SDK combines what the Domains aggregate."""
