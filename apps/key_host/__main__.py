"""``python -m apps.key_host`` is ``grid key-host start``."""

import sys

from apps.cli.main import main

main(["key-host", "start", *sys.argv[1:]])
