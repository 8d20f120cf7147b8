"""``python -m apps.network`` is ``grid network start``."""

import sys

from apps.cli.main import main

main(["network", "start", *sys.argv[1:]])
