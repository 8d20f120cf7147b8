"""What a confined process may still read: the code that Python and its libraries load late, and nothing else.

Not ``sys.prefix`` as a whole, nor what a ``.pth`` file put on ``sys.path``: a checkout holds more than code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["readable"]

_SITE = {"site-packages", "dist-packages"}
_SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64")
_FACTS = ("/sys/devices/system/cpu", "/usr/share/zoneinfo")  # how many processors; time zones of tables


def readable() -> list[str]:
    """Folders and files, real paths, none inside another. Reads /proc/self/maps."""
    found = {Path(os.__file__).parent, *_site_folders(), *_packages(), *_libraries()}
    found |= {Path(fact) for fact in _FACTS}
    real = {Path(os.path.realpath(path)) for path in found if path.exists()}
    return sorted(str(path) for path in real if not real & set(path.parents))


def _site_folders() -> Iterable[Path]:
    return (Path(entry) for entry in sys.path if Path(entry).name in _SITE)


def _packages() -> Iterable[Path]:
    """What was imported from elsewhere: each package's own folder, each module's own file."""
    for name, module in list(sys.modules.items()):
        if "." in name or name == "__main__" or module is None:
            continue
        folders = getattr(module, "__path__", None)
        if folders is not None:
            yield from (Path(folder) for folder in folders)
        elif getattr(module, "__file__", None):
            yield Path(module.__file__)  # type: ignore[arg-type]  # just looked at


def _libraries() -> Iterable[Path]:
    """Shared libraries in use: the system's folders of them, and each file that lies elsewhere."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/"):
            path = Path(fields[5])
            yield path.parent if str(path).startswith(_SYSTEM) else path
