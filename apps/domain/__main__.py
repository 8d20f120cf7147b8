"""``python -m apps.domain`` is ``grid domain start``."""

import sys

from apps.cli.main import main

main(["domain", "start", *sys.argv[1:]])
