"""One-time codes as a second factor of login: TOTP (RFC 6238), and recovery codes for a lost device.

Codes have 6 digits, SHA-1 and 30 seconds: what every authenticator app knows. The code of the step before or
after the node's clock is good too; none is good twice, nor one of an earlier step than the last accepted.
The shared secret is sealed with the node's key, recovery codes are kept as keyed hashes.
"""

from __future__ import annotations

import hmac
import math
import os
from base64 import b32decode, b32encode

import blake3
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlalchemy import delete
from sqlalchemy.orm import Session

from grid.accounts.tables import RecoveryCode, Totp, User
from grid.accounts.users import editable, end_sessions
from grid.node import Principal
from grid.storage.sealed import Sealer
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import Conflict, Forbidden, GridError, NotFound, TooManyRequests, TotpRequired

__all__ = ["DIGITS", "FREE_FAILURES", "RECOVERY_CODES", "STEP", "TotpManager"]

DIGITS = 6
STEP = 30
#: RFC 4226, section 4, requirement R6: a secret of 160 bits.
_SECRET_BYTES = 20
#: Steps before and after the node's clock (RFC 6238, section 5.2).
_DRIFT = 1
RECOVERY_CODES = 10
_RECOVERY_BYTES = 10
#: Wrong codes in a row that cost nothing; each further one doubles the wait, up to the longest.
FREE_FAILURES = 5
_FIRST_WAIT, _LONGEST_WAIT = 30.0, 3600.0


class TotpManager:
    """Enrols, checks and forgets second factors.

    Args:
        secret: the node's own; what seals the shared secrets and keys the hashes is derived from it.
    """

    def __init__(self, db: Database, clock: Clock, secret: bytes) -> None:
        self._db = db
        self._clock = clock
        self._sealer = Sealer(secret, "totp secret")
        self._hash_key = blake3.blake3(secret, derive_key_context="grid 2026-11 recovery codes").digest()

    # -- one's own ----------------------------------------------------------------------------------

    def enrol(self, user_id: str, account: str, issuer: str) -> tuple[str, str]:
        """A fresh secret, in base32, and its provisioning URI; it asks nothing until :meth:`confirm`.

        Raises :class:`Conflict` when codes are in use already.
        """
        secret = os.urandom(_SECRET_BYTES)
        with self._db.transaction() as session:
            row = session.get(Totp, user_id, with_for_update=True)
            if row is not None and row.confirmed_at is not None:
                raise Conflict("your account uses one-time codes already; remove them first")
            if row is not None:
                session.delete(row)
                session.flush()
            text = b32encode(secret).decode()
            sealed = self._sealer.seal(text, user_id)
            session.add(Totp(user_id=user_id, sealed_secret=sealed, enrolled_at=self._clock.now()))
        # A colon would end the issuer's part of the label.
        uri = _totp(text).get_provisioning_uri(account, issuer.replace(":", " "))
        return text, uri

    def confirm(self, user_id: str, code: str, *, keep_session: str) -> list[str]:
        """Use codes from now on; fresh recovery codes. All sessions and keys but this session's end."""
        with self._db.transaction() as session:
            # A login writes this row too: either it comes first and ends here, or it is asked for a code.
            session.get_one(User, user_id, with_for_update=True)
            row = _row(session, user_id)
            if row.confirmed_at is not None:
                raise Conflict("your account uses one-time codes already")
            problem = self._accept(session, row, code)
            if problem is None:
                row.confirmed_at = self._clock.now()
                end_sessions(session, user_id, keep=keep_session)
                return self._new_recovery_codes(session, user_id)
        raise _own(problem)

    def renew_recovery_codes(self, user_id: str, code: str) -> list[str]:
        """Fresh recovery codes, in place of all old ones. ``code`` is used up; raises what is wrong with it."""
        with self._db.transaction() as session:
            problem = self._accept(session, _confirmed(session, user_id), code)
            if problem is None:
                return self._new_recovery_codes(session, user_id)
        raise _own(problem)

    def remove(self, user_id: str, code: str) -> None:
        """Ask for codes no more. ``code`` is of the device or a recovery code; raises what is wrong with it."""
        with self._db.transaction() as session:
            problem = self._accept(session, _confirmed(session, user_id), code)
            if problem is None:
                forget(session, user_id)
                return
        raise _own(problem)

    # -- login, and another's -----------------------------------------------------------------------

    def check(self, session: Session, user_id: str, code: str) -> GridError | None:
        """What is wrong with ``code`` at a login of this user; None when they may come in.

        It is not raised, so that the caller commits the count of wrong codes.
        """
        row = session.get(Totp, user_id, with_for_update=True)
        if row is None or row.confirmed_at is None:
            return None
        if not code.strip():
            return TotpRequired("this account asks for a one-time code: log in with it too")
        return self._accept(session, row, code)

    def reset(self, actor: Principal, user_id: str) -> None:
        """Forget another's second factor; their sessions and keys end: the device may be in other hands."""
        with self._db.transaction() as session:
            editable(session, actor, user_id)
            forget(session, user_id)
            end_sessions(session, user_id)

    # -- codes --------------------------------------------------------------------------------------

    def _accept(self, session: Session, row: Totp, code: str) -> GridError | None:
        """Use ``code`` up, or count it as wrong; the row is locked. Returns what is wrong with it."""
        now = self._clock.now()
        if row.blocked_until > now:
            wait = math.ceil(row.blocked_until - now)
            return TooManyRequests(f"too many wrong codes; try again in {wait} seconds", retry_after=wait)
        plain = "".join(char for char in code.upper() if char.isalnum())
        if self._is_next(row, plain, now) or self._is_recovery(session, row, plain):
            row.failures = 0
            return None
        row.failures += 1
        if row.failures > FREE_FAILURES:
            wait_more = _FIRST_WAIT * 2.0 ** min(row.failures - FREE_FAILURES - 1, 16)
            row.blocked_until = now + min(wait_more, _LONGEST_WAIT)
        return TotpRequired("the one-time code is wrong, or was used already")

    def _is_next(self, row: Totp, code: str, now: float) -> bool:
        if not (len(code) == DIGITS and code.isascii() and code.isdigit()):
            return False
        device = _totp(self._sealer.open(row.sealed_secret, row.user_id))
        current = int(now // STEP)
        for step in range(current - _DRIFT, current + _DRIFT + 1):
            if step > row.last_step and hmac.compare_digest(device.generate(step * STEP), code.encode()):
                row.last_step = step
                return True
        return False

    def _is_recovery(self, session: Session, row: Totp, code: str) -> bool:
        found = (RecoveryCode.user_id == row.user_id) & (RecoveryCode.code_hash == self._hash(code))
        used = session.scalars(delete(RecoveryCode).where(found).returning(RecoveryCode.code_hash))
        return len(used.all()) == 1

    def _new_recovery_codes(self, session: Session, user_id: str) -> list[str]:
        codes = [b32encode(os.urandom(_RECOVERY_BYTES)).decode() for _ in range(RECOVERY_CODES)]
        session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
        session.add_all(RecoveryCode(user_id=user_id, code_hash=self._hash(code)) for code in codes)
        return ["-".join(code[at : at + 4] for at in range(0, len(code), 4)) for code in codes]

    def _hash(self, code: str) -> str:
        return str(blake3.blake3(code.encode(), key=self._hash_key).hexdigest())


def forget(session: Session, user_id: str) -> None:
    """Remove a user's second factor and their recovery codes."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    session.execute(delete(Totp).where(Totp.user_id == user_id))


def _totp(secret: str) -> TOTP:
    return TOTP(b32decode(secret), DIGITS, SHA1(), STEP)  # noqa: S303 - what RFC 6238 apps use


def _row(session: Session, user_id: str) -> Totp:
    row = session.get(Totp, user_id, with_for_update=True)
    if row is None:
        raise NotFound("begin with totp.enrol")
    return row


def _confirmed(session: Session, user_id: str) -> Totp:
    row = _row(session, user_id)
    if row.confirmed_at is None:
        raise NotFound("your account uses no one-time codes")
    return row


def _own(problem: GridError) -> GridError:
    """For somebody who is logged in, a wrong code is a refusal, not a missing login."""
    return Forbidden(problem.detail) if isinstance(problem, TotpRequired) else problem
