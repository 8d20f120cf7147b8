"""Images: built twice they are the same, and what is in them runs."""
