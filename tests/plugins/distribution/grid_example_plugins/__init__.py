"""One of each thing that a package may add to Grid (CONTRIBUTING.md, "How to add …")."""
