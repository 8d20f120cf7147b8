"""Values through the confined child: round trips, foreign keys, what is not finite, hostile bytes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from syft_ext.encrypted import child as child_module
from syft_ext.encrypted.context import EncryptionKeys, library_child
from syft_ext.encrypted.forms import Form
from syft_ext.encrypted.values import BFVVector, CKKSTensor, CKKSVector, encrypted_of
from syft_ext.errors import BadRequest, Conflict, InvalidTensors, Unavailable

from .mutated import mutated


def test_numbers_come_back(keys: EncryptionKeys) -> None:
    numbers = np.linspace(-40, 40, 5000)
    value = CKKSVector.deserialize(CKKSVector.encrypt(keys.public, numbers, bound=50.0).serialize())
    assert value.form.bound == 50.0
    assert np.abs(value.decrypt(keys) - numbers).max() < 1e-6
    table = np.arange(6.0).reshape(2, 3)
    assert np.abs(CKKSTensor.encrypt(keys, table).decrypt(keys) - table).max() < 1e-6
    whole = EncryptionKeys.generate("int4096")
    exact = BFVVector.encrypt(whole, [-5, 0, 516096])
    assert exact.decrypt(whole).tolist() == [-5, 0, 516096]
    assert type(encrypted_of(exact.serialize())) is BFVVector


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(keys: EncryptionKeys, bad: float) -> None:
    with pytest.raises(InvalidTensors, match="not finite"):
        CKKSVector.encrypt(keys, [0.0, bad])


def test_a_number_above_its_bound_is_refused(keys: EncryptionKeys) -> None:
    with pytest.raises(InvalidTensors, match="larger in magnitude than 1"):
        CKKSVector.encrypt(keys, [0.0, 2.0], bound=1.0)
    with pytest.raises(BadRequest, match="wrap around"):
        CKKSVector.encrypt(keys, [8000.0])


def test_a_value_under_another_key_is_not_opened(keys: EncryptionKeys, other_keys: EncryptionKeys) -> None:
    with pytest.raises(Conflict, match="another key"):
        CKKSVector.encrypt(keys, [1.0]).decrypt(other_keys)


def test_a_sum_counts_what_is_in_it_and_a_foreign_key_shows(
    keys: EncryptionKeys, other_keys: EncryptionKeys
) -> None:
    form = Form(
        layout="vector", parameters="add4096", context=keys.public.digest, shape=[3], bound=1.0, counted=True
    )
    child = library_child()

    def encrypted(holder: EncryptionKeys) -> bytes:
        with child.turn:
            holder.public.opened(child)
            return child.encrypt(form, np.array([0.1, 0.2, -0.3]))[0]

    def opened(piece: bytes, count: int) -> list[float]:
        place = len(piece).to_bytes(4, "little") + piece.ljust(form.set.ciphertext_bytes(0), b"\0")
        with child.turn:
            keys.opened(child)
            return child.decrypt(form, place, count).tolist()  # type: ignore[no-any-return]

    honest = [encrypted(keys) for _ in range(3)]
    with child.turn:
        keys.public.opened(child)
        total = child.total(form, 4, honest, shift=np.array([0.0, 1.0, 0.0, 0.0]))
        mixed = child.total(form, 4, [*honest, encrypted(other_keys)])
    assert np.allclose(opened(total, 3), [1.3, 0.6, -0.9], atol=1e-6)
    with pytest.raises(InvalidTensors, match="not 4"):
        opened(total, 4)
    with pytest.raises(InvalidTensors, match="another key"):
        opened(mixed, 4)


def test_keys_are_kept_for_their_owner_only(keys: EncryptionKeys, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keys.save(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with pytest.raises(FileExistsError):
        keys.save(path)
    value = CKKSVector.encrypt(keys, [1.5])
    assert np.allclose(value.decrypt(EncryptionKeys.load(path)), [1.5])
    path.write_bytes(keys.public.content)
    with pytest.raises(BadRequest, match="no encryption keys"):
        EncryptionKeys.load(path)


def test_without_the_library_the_error_names_the_extra() -> None:
    assert find_spec("tenseal") is not None
    with (
        mock.patch.object(child_module, "find_spec", return_value=None),
        pytest.raises(Unavailable, match=r"grid-platform\[he\]"),
    ):
        child_module.LibraryChild()


def test_the_child_is_confined_and_survives_hostile_ciphertexts(keys: EncryptionKeys) -> None:
    """A slice of ``python -m tests.encrypted.mutated``: each is refused, or decrypts to numbers; none ends it."""
    child = library_child()
    pid = child.pid
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Seccomp:\t2" in status
    outcomes = mutated(keys, 60, seed=1)
    assert outcomes["refused"] and not outcomes["ended"]
    assert child.pid == pid and not child.over


def test_the_library_is_not_in_the_process_that_uses_it() -> None:
    program = """
from pathlib import Path
from syft_ext.encrypted.context import EncryptionKeys
from syft_ext.encrypted.frames import LONGEST_HEAD, read_form
from syft_ext.encrypted.values import CKKSVector
value = CKKSVector.encrypt(EncryptionKeys.generate(), [1.0])
read_form(value.content[:LONGEST_HEAD], len(value.content))
assert "tenseal" not in Path("/proc/self/maps").read_text()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
