"""The command ``grid``."""
