"""One file per noun, here or in a folder of what belongs together; each is found by :mod:`apps.cli.discovery`.

Each knows the messages of its noun; must not load what only another command needs: people wait for it.
"""
