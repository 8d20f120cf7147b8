"""Evidence that a program makes about itself, in the shape of the others: for development and demonstrations.

It protects nothing from whoever runs the program, says so (``insecure``), and no production policy accepts it.
Knows its own format; must not know whose key signs it.
"""
