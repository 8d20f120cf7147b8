"""A Worker: runs plans on objects it is handed, and takes part in trainings on its owner's data."""
