"""``import syft_ext as sy``: what it offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import syft_ext as sy


def test_every_name_of_the_facade_is_there_sorted_and_nothing_else() -> None:
    assert sorted(sy.__all__) == sorted(dir(sy))
    assert sorted(sy._HOME) == sorted(set(sy.__all__) - {"__version__"})
    constants = [name for name in sy.__all__ if name.isupper()]
    classes = [name for name in sy.__all__ if name[0].isupper() and name not in constants]
    assert sy.__all__ == [
        *sorted(constants),
        *sorted(classes),
        *sorted(n for n in sy.__all__ if n[0] not in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    ]
    for name in sy.__all__:
        assert getattr(sy, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(sy, "no_such_thing")


def test_importing_it_loads_neither_torch_nor_a_server_library() -> None:
    code = (
        "import sys; import syft_ext; syft_ext.login; syft_ext.connect;"
        "heavy = {'torch', 'flask', 'gevent', 'sqlalchemy', 'pandas', 'numpy'} & set(sys.modules);"
        "print(sorted(heavy))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
