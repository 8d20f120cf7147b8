"""``tensor.send`` appears with torch, also where this package was imported, let go of, and imported anew."""

from __future__ import annotations

import subprocess
import sys

# As a tool does that imports packages to look at them, and lets go of them again.
PROGRAM = """
import sys, syft_ext
for name in [name for name in sys.modules if name.split('.')[0] == 'syft_ext']:
    del sys.modules[name]
import syft_ext, torch
print(hasattr(torch.Tensor, 'send'), hasattr(torch.nn.Module, 'get'))
"""


def test_torch_gets_the_methods_of_a_package_that_was_imported_twice() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.stdout == "True True\n", done.stderr
