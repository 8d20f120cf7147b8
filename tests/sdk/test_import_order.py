"""torch may be imported whenever somebody likes: its tensors and modules can be sent."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "program",
    [
        "import syft_ext as sy\nsy.login\nimport torch",
        "import syft_ext as sy\nimport sys\nassert 'torch' not in sys.modules\nfrom torch import nn\nimport torch",
        "import torch\nimport syft_ext as sy",
        "import syft_ext as sy\nimport torch.nn as nn\nimport torch",
    ],
)
def test_the_order_of_imports_does_not_matter(program: str) -> None:
    checks = "\nassert torch.Tensor.send and torch.nn.Module.send and torch.nn.Module.get"
    done = subprocess.run(
        [sys.executable, "-c", program + checks], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
