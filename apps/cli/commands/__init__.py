"""One file per noun; what each defines is found by :mod:`apps.cli.main`."""
