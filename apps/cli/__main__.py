"""``python -m apps.cli``: the command ``grid`` where it is not installed."""

from __future__ import annotations

from apps.cli.main import main

if __name__ == "__main__":
    main()
