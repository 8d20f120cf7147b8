"""The proof of concept of the PyGrid paper (section 4), run for real: ``./grid-demo``."""
