"""One's own account at a node: ``client.me``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syft_ext.client.listing import Listing
from syft_ext.client.people import Sessions
from syft_ext.client.quotas import amount
from syft_ext.display.prompt import given_or_asked
from syft_ext.display.table import Table, fields_table, when
from syft_ext.errors import NotFound
from syft_ext.identity import Identity
from syft_ext.messages.accounts import ChangeEmail, ChangePassword, GetMe, RevokeSessions, UserView
from syft_ext.messages.own_account import (
    ConfirmTotp,
    EnrolTotp,
    KeyList,
    KeyView,
    ListKeys,
    RecoveryCodes,
    RegisterKey,
    RemoveKey,
    RemoveTotp,
    RenewRecoveryCodes,
    TotpSecret,
    key_proof,
)
from syft_ext.messages.quotas import MyQuotas, QuotaUse, QuotaView
from syft_ext.readable import readable

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller

__all__ = ["Keys", "Me", "Sessions", "TotpEnrolment"]


class Me:
    """Your account, as it is when you ask for it.

    Passwords and codes that are not given are asked for, in a terminal or a notebook.
    """

    def __init__(self, client: Caller) -> None:
        self.client = client
        self.view: UserView = client.call(GetMe())

    @property
    def id(self) -> str:
        return self.view.id

    @property
    def email(self) -> str:
        return self.view.email

    @property
    def role(self) -> str:
        return self.view.role

    @property
    def groups(self) -> list[str]:
        """The names of the groups that you are in."""
        return self.view.groups

    @property
    def flags(self) -> list[str]:
        """What your role and your groups permit."""
        return self.view.flags

    @property
    def verify_keys(self) -> list[str]:
        """Your public keys at this node, 64 hex digits each; :attr:`keys` says more of them."""
        return self.view.verify_keys

    @property
    def totp(self) -> bool:
        """Whether your login asks for a one-time code."""
        return self.view.totp

    @property
    def quotas(self) -> list[QuotaUse]:
        """How much you may keep here, and how much you do, asked now; only Domains keep something for users."""
        try:
            view: QuotaView = self.client.call(MyQuotas())
        except NotFound:
            return []
        return view.quotas

    @property
    def keys(self) -> Keys:
        """The keys that act for you here: look, register, remove."""
        return Keys(self.client)

    @property
    def sessions(self) -> Sessions:
        """Your logins that are still good: look, end."""
        return Sessions(self.client)

    def change_email(self, email: str, password: str = "") -> Me:
        """Change your address, by your password."""
        password = given_or_asked(password, "Password", "password")
        self.view = self.client.call(ChangeEmail(email=email, password=password))
        return self

    def change_password(self, password: str = "", new_password: str = "") -> None:
        """Your other sessions and keys end."""
        password = given_or_asked(password, "Password", "password")
        new_password = given_or_asked(new_password, "New password", "new_password")
        self.client.call(ChangePassword(password=password, new_password=new_password))

    def revoke(self) -> None:
        """End all your sessions, this one too, and forget all your keys."""
        self.client.call(RevokeSessions())

    # -- one-time codes -----------------------------------------------------------------------------

    def enrol_totp(self, password: str = "") -> TotpEnrolment:
        """Begin to use one-time codes: show the result to your authenticator app, then ``.confirm(code)``."""
        password = given_or_asked(password, "Password", "password")
        return TotpEnrolment(self.client, self.client.call(EnrolTotp(password=password)))

    def renew_recovery_codes(self, code: str, password: str = "") -> list[str]:
        """Fresh recovery codes, in place of all old ones. ``code`` is one of your device, or an old one."""
        password = given_or_asked(password, "Password", "password")
        reply: RecoveryCodes = self.client.call(RenewRecoveryCodes(password=password, code=code))
        return reply.codes

    def remove_totp(self, code: str, password: str = "") -> None:
        """Stop using one-time codes. ``code`` is one of your device, or a recovery code."""
        password = given_or_asked(password, "Password", "password")
        self.client.call(RemoveTotp(password=password, code=code))

    # -- showing itself -----------------------------------------------------------------------------

    def table(self) -> Table:
        """Who you are here, and what your role and your groups permit."""
        fields = [
            ("e-mail", self.email),
            ("role", self.role),
            ("groups", self.groups),
            ("may", [flag.removeprefix("can_").replace("_", " ") for flag in self.flags]),
            ("one-time codes", "yes" if self.totp else "no"),
            *((each.name.replace("_", " "), _used(each)) for each in self.quotas),
            ("id", self.id),
        ]
        return fields_table(f"You at {self.client.name}", fields)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _used(quota: QuotaUse) -> str:
    return f"{amount(quota.name, quota.used)} of {amount(quota.name, quota.limit)}"


class TotpEnrolment:
    """What your authenticator app needs. It is shown this once; nothing changes before :meth:`confirm`.

    Attributes:
        secret: to type into the app (base32; SHA-1, 6 digits, 30 seconds).
        uri: to show to it as a QR code.
    """

    def __init__(self, client: Caller, reply: TotpSecret) -> None:
        self._client = client
        self.secret, self.uri = reply.secret, reply.uri

    def confirm(self, code: str) -> list[str]:
        """Use one-time codes from now on. Returns recovery codes, each good once: keep them safe."""
        reply: RecoveryCodes = self._client.call(ConfirmTotp(code=code))
        return reply.codes

    def table(self) -> Table:
        """The secret as text and as the link that QR codes hold; neither is shown again."""
        fields = [("secret", self.secret), ("uri", self.uri)]
        return fields_table("One-time codes", fields, "confirm(code) puts them to use")

    def __repr__(self) -> str:
        return readable(f"secret {self.secret}\n{self.uri}\nconfirm(code) puts the codes to use", lines=True)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Keys(Listing[KeyView]):
    """Your public keys: a message that one of them signed is yours."""

    title = "Keys"
    headings = ("key", "name", "added", "used", "good until", "this one")

    def _fetch(self) -> list[KeyView]:
        reply: KeyList = self.client.call(ListKeys())
        return reply.keys

    def register(self, identity: Identity, password: str = "", *, name: str = "") -> KeyView:
        """Make the key of ``identity`` yours, as a login with it would."""
        password = given_or_asked(password, "Password", "password")
        user: UserView = self.client.call(GetMe())
        node = self.client.metadata
        signed = key_proof(node.node_id, user.id, identity.verify_key, node.time)
        message = RegisterKey(
            verify_key=identity.verify_key,
            proof=identity.sign(signed),
            signed_at=node.time,
            password=password,
            name=name,
        )
        key: KeyView = self.client.call(message)
        return key

    def remove(self, verify_key: str) -> None:
        """Forget one of your keys; the sessions that are bound to it end."""
        self.client.call(RemoveKey(verify_key=self[verify_key].verify_key))

    def key(self, item: KeyView) -> tuple[str, ...]:
        return (item.verify_key, item.name)

    def row(self, item: KeyView) -> tuple[Any, ...]:
        good, added, used = when(item.expires_at), when(item.added_at), when(item.used_at)
        return (item.verify_key, item.name, added, used, good, "yes" if item.current else "")
