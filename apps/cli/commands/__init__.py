"""One file per noun; what each defines is found by :mod:`apps.cli.main`.

Each knows the messages of its noun; must not load what only another command needs: people wait for it.
"""
