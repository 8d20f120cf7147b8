"""Passwords: argon2id (RFC 9106, the second recommended option), hashed beside the event loop, and behind it."""

from __future__ import annotations

from base64 import b64encode

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from grid.concurrency.offload import Semaphore, offload_gently
from syft_ext.errors import BadRequest

__all__ = ["MIN_LENGTH", "Passwords"]

#: NIST SP 800-63B, section 5.1.1.2.
MIN_LENGTH = 8
#: One hash takes 64 MiB: a flood of logins must not take the machine's memory.
_CONCURRENT = 2


class Passwords:
    """Hashes and verifies; at most two at a time."""

    def __init__(self) -> None:
        self.hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._turns = Semaphore(_CONCURRENT)

    def hash(self, password: str) -> str:
        """The hash to store. Raises :class:`BadRequest` for a password that is too short."""
        if len(password) < MIN_LENGTH:
            raise BadRequest(f"a password has at least {MIN_LENGTH} characters")
        with self._turns:
            return offload_gently(self.hasher.hash, password)

    def verify(self, stored: str | None, password: str) -> bool:
        """Whether ``password`` is the one behind ``stored``.

        None (no such user) takes as long as a wrong password, so that time does not tell who exists.
        """
        with self._turns:
            same = offload_gently(self._verify, stored or _hash_of_nothing(self.hasher), password)
        return same and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether ``stored`` was made with weaker parameters than today's."""
        return self.hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self.hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


def _hash_of_nothing(hasher: PasswordHasher) -> str:
    """A well-formed hash with the hasher's parameters that no password has."""
    salt, digest = (
        b64encode(bytes(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"
