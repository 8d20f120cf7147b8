"""Epoch keys in a token: SoftHSM's, where Debian's softhsm2 is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.key_host.core import HostCore, HostLimits
from grid.key_host.erasing import erase
from grid.key_host.tables import KeyHostRound
from grid.key_host.tokens import TokenKeys
from syft_ext.errors import InvalidConfig, KeyRefused, Unavailable
from tests.key_host.parties import T0, Party
from tests.key_host.test_grants import Round, refused

MODULE = next(
    (
        path
        for path in ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
        if Path(path).exists()
    ),
    "",
)
DAY = 86_400.0


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("pkcs11")
    if not MODULE or shutil.which("softhsm2-util") is None:
        pytest.skip("softhsm2 is not installed")
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    config = folder / "softhsm2.conf"
    config.write_text(
        f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    (folder / "pin").write_text("246802\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(config))
        command = ["softhsm2-util", "--init-token", "--free", "--label", "grid keys"]
        subprocess.run([*command, "--pin", "246802", "--so-pin", "135790"], check=True, capture_output=True)
        yield f"pkcs11:token=grid%20keys?module-path={MODULE}&pin-source=file:{folder}/pin"


def test_seeds_are_sealed_and_opened_by_the_token(uri: str) -> None:
    keys = TokenKeys(uri, DAY)
    epoch = keys.current(T0)
    assert keys.current(T0 + 10) == epoch == int(T0 / DAY)
    sealed = keys.seal(epoch, b"s" * 32, b"its round")
    assert sealed != keys.seal(epoch, b"s" * 32, b"its round")
    assert TokenKeys(uri, DAY).open(epoch, sealed, b"its round") == b"s" * 32  # also after a restart
    for other, belongs in ((sealed, b"another"), (sealed[:-1], b"its round"), (bytes(60), b"its round")):
        with pytest.raises(KeyRefused) as caught:
            keys.open(epoch, other, belongs)
        assert caught.value.extra["reason"] == "over"
    later = keys.current(T0 + 3 * int(DAY))
    assert keys.drop({epoch}, T0 + 3 * int(DAY)) == []
    assert keys.drop(set(), T0 + 3 * int(DAY)) == [epoch]
    with pytest.raises(KeyRefused, match="gone"):
        keys.open(epoch, sealed, b"its round")
    assert keys.open(later, keys.seal(later, b"t", b""), b"") == b"t"


def test_no_key_leaves_the_token(uri: str) -> None:
    import pkcs11

    keys = TokenKeys(uri, DAY)
    epoch = keys.current(T0)
    with keys._opened() as session:
        key = keys._key(session, epoch)
        assert key[pkcs11.Attribute.EXTRACTABLE] is False and key[pkcs11.Attribute.SENSITIVE] is True
        with pytest.raises(pkcs11.PKCS11Error):
            _ = key[pkcs11.Attribute.VALUE]


def test_a_round_by_a_host_with_a_token(uri: str, party: Party) -> None:
    """Granted, released, erased: then nothing opens its seeds, whoever has the database as it was."""
    first = party.hosts[0]
    token = HostCore(first.db, first.identity, first.clock, TokenKeys(uri, DAY), HostLimits(simulator=True))
    party.hosts[0] = token
    one = Round(party)
    one.all()
    with token.db.read() as session:
        row = session.get_one(KeyHostRound, one.context.digest().hex())
        epoch, sealed = row.epoch, row.upload_seed
    assert sealed is not None
    party.clock.advance(5 * DAY)
    token.epochs.current(int(party.clock.now()))
    assert erase(token) >= 1
    with pytest.raises(KeyRefused):
        token.epochs.open(epoch, sealed, b"whatever it belongs to")
    assert refused(one.grant) in ("over", "time", "session")


def test_tokens_that_are_none(uri: str, tmp_path: Path) -> None:
    for wrong in (
        "pkcs11:",
        "pkcs11:token=grid%20keys",
        f"pkcs11:token=grid%20keys?module-path={MODULE}&pin-source=file:{tmp_path}/no",
        f"pkcs11:token=grid%20keys;serial=1?module-path={MODULE}",
    ):
        with pytest.raises(InvalidConfig):
            TokenKeys(wrong, DAY)
    for absent in (uri.replace("grid%20keys", "another"), uri.replace("libsofthsm2.so", "nothing.so")):
        with pytest.raises(Unavailable):
            TokenKeys(absent, DAY)
