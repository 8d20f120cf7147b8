"""Keys, sessions and one-time codes of accounts; e-mail and password are in :mod:`syft_ext.messages.accounts`.

A stolen token must not be enough to take an account over: whatever outlives the session asks for the password
again.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.accounts import Code, Password
from syft_ext.messages.fields import Id
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER, flag

Label = Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[^\x00]*$")]
VerifyKey = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]

_USERS = flag("can_create_users")


class KeyView(Reply):
    """A key of a user.

    Attributes:
        added_at: when it was logged in with first, or registered; None when that is not known any more.
        used_at: when it was logged in with last, or registered.
        expires_at: when it stops identifying its user by itself (the setting ``key_lifetime``).
        current: whether it signed this very call.
    """

    verify_key: str
    name: str
    added_at: float | None
    used_at: float
    expires_at: float
    current: bool


class KeyList(Reply):
    """Your keys, the one that was used last first."""

    keys: list[KeyView]


class AccountSessionView(Reply):
    """A login that is still good. ``verify_key`` is the key it is bound to, ``remote`` where it came from."""

    id: str
    created_at: float
    expires_at: float
    verify_key: str
    remote: str
    current: bool


class AccountSessionList(Reply):
    """The logins that are still good, newest first."""

    sessions: list[AccountSessionView]


class TotpSecret(Reply):
    """What an authenticator app needs, shown this once: as text, and as the link that QR codes hold.

    ``secret`` is base32; the codes have 6 digits, SHA-1, 30 seconds (RFC 6238).
    """

    secret: str
    uri: str


class RecoveryCodes(Reply):
    """Codes for when the device is lost, each good once. Shown this once."""

    codes: list[str]


# -- keys ----------------------------------------------------------------------------------------------


@operation("keys.list", rest="GET /users/me/keys", reply=KeyList, permission=USER)
class ListKeys(Message):
    """Your keys, the one that was used last first."""


@operation("keys.register", rest="POST /users/me/keys", reply=KeyView, permission=USER, status=201)
class RegisterKey(Message):
    """Make another key yours, as a login with it would: of a machine without a keyboard, say.

    Attributes:
        proof: the key's signature over ``key_proof(...)``: nobody registers what is another's.
        signed_at: seconds since the epoch, within five minutes of the node's clock.
    """

    verify_key: VerifyKey
    proof: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
    signed_at: float
    password: Password
    name: Label = ""


@operation("keys.remove", rest="DELETE /users/me/keys/{verify_key}", permission=USER)
class RemoveKey(Message):
    """Forget one of your keys; the sessions that are bound to it end."""

    verify_key: VerifyKey


def key_proof(node_id: str, user_id: str, verify_key: str, signed_at: float) -> bytes:
    """What a key signs to become a user's: it names the node and the user, so that it serves no other."""
    return f"grid key registration 1\n{node_id}\n{user_id}\n{verify_key}\n{signed_at:.6f}".encode()


# -- sessions ------------------------------------------------------------------------------------------


@operation("sessions.list", rest="GET /users/me/sessions", reply=AccountSessionList, permission=USER)
class ListAccountSessions(Message):
    """Your sessions, the newest first."""


@operation("sessions.end", rest="DELETE /users/me/sessions/{session_id}", permission=USER)
class EndAccountSession(Message):
    """End one of your sessions. The key it is bound to is forgotten, unless another session is too."""

    session_id: Id


@operation(
    "sessions.list_of", rest="GET /users/{user_id}/sessions", reply=AccountSessionList, permission=_USERS
)
class ListAccountSessionsOf(Message):
    """Somebody's sessions, the newest first."""

    user_id: Id


@operation("sessions.end_of", rest="DELETE /users/{user_id}/sessions/{session_id}", permission=_USERS)
class EndAccountSessionOf(Message):
    """End a session of somebody who has no power that you lack."""

    user_id: Id
    session_id: Id


# -- one-time codes ------------------------------------------------------------------------------------


@operation("totp.enrol", rest="POST /users/me/totp", reply=TotpSecret, permission=USER, status=201)
class EnrolTotp(Message):
    """Begin to use one-time codes at login. Nothing changes before ``totp.confirm``."""

    password: Password


@operation("totp.confirm", rest="POST /users/me/totp/confirm", reply=RecoveryCodes, permission=USER)
class ConfirmTotp(Message):
    """Show that your device works: from now on a login needs its code. Your other sessions and keys end."""

    code: Code


@operation("totp.recovery_codes", rest="POST /users/me/totp/codes", reply=RecoveryCodes, permission=USER)
class RenewRecoveryCodes(Message):
    """Get new recovery codes; the old ones are good no more. ``code`` is one of your device, or an old one."""

    password: Password
    code: Code


@operation("totp.remove", rest="POST /users/me/totp/remove", permission=USER)
class RemoveTotp(Message):
    """Stop using one-time codes. ``code`` is one of your device, or a recovery code."""

    password: Password
    code: Code
