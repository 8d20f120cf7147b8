"""``python -I -m apps.confidential_worker --fd N``."""

import sys

from apps.confidential_worker.main import main

main(sys.argv[1:])
