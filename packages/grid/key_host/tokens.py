"""Epoch keys in a token (HSM, smart card, SoftHSM) that gives none of them out: PKCS#11, by a URI of RFC 7512.

    pkcs11:token=grid-keys?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/secrets/pin

The token makes the key of an epoch, seals and opens under it (AES-256-GCM), and destroys it. What a disk, a
journal or a backup of this host keeps of a sealed seed opens no more then; backups of the token itself are its
operator's to answer for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from grid.key_host.epochs import EpochKeys
from syft_ext.errors import InvalidConfig, KeyRefused, Unavailable

__all__ = ["TokenKeys"]

_SCHEME = "pkcs11:"
_NONCE, _TAG = 12, 16
_LABEL = "grid epoch "


class TokenKeys(EpochKeys):
    """As :class:`~grid.key_host.epochs.EpochKeys`.

    Args:
        uri: of the token. interval: seconds of an epoch.

    Raises :class:`InvalidConfig` for a URI that names no token, or where the library for it is not installed.
    """

    erasure = (
        "a token holds the epoch keys and gives none out: a destroyed one opens nothing, unless the token"
        " was copied"
    )

    def __init__(self, uri: str, interval: float) -> None:
        self._interval = interval
        path, _, query = uri.removeprefix(_SCHEME).partition("?")
        named = {key: unquote(value) for key, _, value in (each.partition("=") for each in path.split(";"))}
        asked = dict(parse_qsl(query, keep_blank_values=True))
        unknown = sorted({*named, *asked} - {"token", "module-path", "pin-source", "pin-value"})
        if not uri.startswith(_SCHEME) or not named.get("token") or not asked.get("module-path") or unknown:
            raise InvalidConfig(
                "epoch_token: pkcs11:token=NAME?module-path=LIBRARY&pin-source=file:PATH is needed",
                key="epoch_token",
            )
        self._token, self._module = named["token"], asked["module-path"]
        self._pin = _pin(asked)
        self._lock = threading.Lock()
        self._session: Any = None
        with self._opened():
            pass

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The one session; another one after it broke.

        Raises :class:`Unavailable` while the token does not answer.
        """
        try:
            import pkcs11
        except ImportError as error:
            raise InvalidConfig(
                "epoch_token: a token needs the extra `pkcs11` (pip install 'grid-platform[pkcs11]')",
                key="epoch_token",
            ) from error
        with self._lock:
            try:
                if self._session is None:
                    token = pkcs11.lib(self._module).get_token(token_label=self._token)
                    try:
                        self._session = token.open(rw=True, user_pin=self._pin)
                    except pkcs11.UserAlreadyLoggedIn:  # a log-in is the process's, for all its sessions
                        self._session = token.open(rw=True)
                yield self._session
            except pkcs11.NoSuchKey as error:
                raise KeyRefused("the key of the round's epoch is gone", reason="over") from error
            except (pkcs11.PKCS11Error, RuntimeError) as error:
                self._session = None
                raise Unavailable(f"the token of the epoch keys: {type(error).__name__}") from error

    def current(self, at: int) -> int:
        import pkcs11

        epoch = int(at / self._interval)
        with self._opened() as session:
            try:
                self._key(session, epoch)
            except pkcs11.NoSuchKey:
                session.generate_key(
                    pkcs11.KeyType.AES,
                    256,
                    label=f"{_LABEL}{epoch}",
                    store=True,
                    capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
                    template={pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False},
                )
        return epoch

    @staticmethod
    def _key(session: Any, epoch: int) -> Any:
        import pkcs11

        return session.get_key(
            object_class=pkcs11.ObjectClass.SECRET_KEY, key_type=pkcs11.KeyType.AES, label=f"{_LABEL}{epoch}"
        )

    def seal(self, epoch: int, secret: bytes, belongs_to: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        with self._opened() as session:
            sealed: bytes = self._key(session, epoch).encrypt(secret, **_gcm(nonce, belongs_to))
        return nonce + sealed

    def open(self, epoch: int, sealed: bytes, belongs_to: bytes) -> bytes:
        import pkcs11

        with self._opened() as session:
            try:
                key = self._key(session, epoch)
                secret: bytes = key.decrypt(sealed[_NONCE:], **_gcm(sealed[:_NONCE], belongs_to))
            except (pkcs11.EncryptedDataInvalid, pkcs11.EncryptedDataLenRange, pkcs11.GeneralError) as error:
                raise KeyRefused(
                    "the round's seed does not open with its epoch's key", reason="over"
                ) from error
        return secret

    def drop(self, needed: set[int], at: int) -> list[int]:
        import pkcs11

        now, gone = int(at / self._interval), []
        with self._opened() as session:
            kinds = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY}
            for key in [*session.get_objects(kinds)]:
                label = str(key.label)
                if not (label.startswith(_LABEL) and label.removeprefix(_LABEL).isdecimal()):
                    continue
                epoch = int(label.removeprefix(_LABEL))
                if epoch < now and epoch not in needed:
                    key.destroy()
                    gone.append(epoch)
        return sorted(gone)


def _gcm(nonce: bytes, belongs_to: bytes) -> dict[str, Any]:
    import pkcs11

    return {
        "mechanism": pkcs11.Mechanism.AES_GCM,
        "mechanism_param": pkcs11.GCMParams(nonce, belongs_to, _TAG * 8),
    }


def _pin(asked: dict[str, str]) -> str:
    if "pin-source" in asked:
        path = Path(asked["pin-source"].removeprefix("file:"))
        try:
            return path.read_text("utf-8").strip()
        except OSError as error:
            raise InvalidConfig(f"epoch_token: the PIN cannot be read: {error}", key="epoch_token") from error
    return asked.get("pin-value", "")
