"""``python -m apps.worker`` is ``grid worker start``."""

import sys

from apps.cli.main import main

main(["worker", "start", *sys.argv[1:]])
