"""Private set intersection, and learning over the rows that two tables have in common."""
