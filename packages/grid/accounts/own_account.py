"""What people do with their own accounts; what administrators do with the sessions of others."""

from __future__ import annotations

from grid.accounts.managers import AccountService
from grid.node import Context, handles
from syft_ext.messages import Empty
from syft_ext.messages import accounts as m
from syft_ext.messages import own_account as own

__all__ = ["OwnAccountService", "SecondFactorService"]


class OwnAccountService(AccountService):
    """What people do with their own accounts. What weakens an account needs its password again."""

    @handles(m.GetMe)
    def me(self, ctx: Context, message: m.GetMe) -> m.UserView:
        return self._managers.users.get(ctx.principal.id)

    @handles(m.ChangeEmail)
    def change_email(self, ctx: Context, message: m.ChangeEmail) -> m.UserView:
        self._confirm(ctx, message.password)
        return self._managers.users.change_email(ctx.principal.id, message.email)

    @handles(m.ChangePassword)
    def change_password(self, ctx: Context, message: m.ChangePassword) -> Empty:
        self._confirm(ctx, message.password)
        self._managers.users.change_password(
            ctx.principal.id, message.new_password, keep_session=_session_of(ctx)
        )
        return Empty()

    # -- keys ---------------------------------------------------------------------------------------

    @handles(own.ListKeys)
    def keys(self, ctx: Context, message: own.ListKeys) -> own.KeyList:
        return own.KeyList(keys=self._managers.keys.of(ctx.principal))

    @handles(own.RegisterKey)
    def register_key(self, ctx: Context, message: own.RegisterKey) -> own.KeyView:
        ctx.note(verify_key=message.verify_key)
        self._confirm(ctx, message.password)
        return self._managers.keys.register(ctx.principal, message)

    @handles(own.RemoveKey)
    def remove_key(self, ctx: Context, message: own.RemoveKey) -> Empty:
        ctx.note(verify_key=message.verify_key)
        self._managers.keys.remove(ctx.principal, message.verify_key)
        return Empty()

    # -- sessions -----------------------------------------------------------------------------------

    @handles(own.ListAccountSessions)
    def sessions(self, ctx: Context, message: own.ListAccountSessions) -> own.AccountSessionList:
        found = self._managers.sessions.all_of(ctx.principal.id, current=_session_of(ctx))
        return own.AccountSessionList(sessions=found)

    @handles(own.EndAccountSession)
    def end_session(self, ctx: Context, message: own.EndAccountSession) -> Empty:
        self._managers.sessions.end(ctx.principal.id, message.session_id)
        return Empty()

    @handles(own.ListAccountSessionsOf)
    def sessions_of(self, ctx: Context, message: own.ListAccountSessionsOf) -> own.AccountSessionList:
        found = self._managers.sessions.all_of(message.user_id, current=_session_of(ctx))
        return own.AccountSessionList(sessions=found)

    @handles(own.EndAccountSessionOf)
    def end_session_of(self, ctx: Context, message: own.EndAccountSessionOf) -> Empty:
        ctx.note(user=message.user_id)
        self._managers.sessions.end(message.user_id, message.session_id, actor=ctx.principal)
        return Empty()


class SecondFactorService(AccountService):
    """One-time codes: enrolling a device, recovery codes, and what happens when a device is lost."""

    @handles(own.EnrolTotp)
    def enrol(self, ctx: Context, message: own.EnrolTotp) -> own.TotpSecret:
        self._confirm(ctx, message.password)
        secret, uri = self._managers.totp.enrol(ctx.principal.id, ctx.principal.name, self.node.name)
        return own.TotpSecret(secret=secret, uri=uri)

    @handles(own.ConfirmTotp)
    def confirm(self, ctx: Context, message: own.ConfirmTotp) -> own.RecoveryCodes:
        codes = self._managers.totp.confirm(ctx.principal.id, message.code, keep_session=_session_of(ctx))
        return own.RecoveryCodes(codes=codes)

    @handles(own.RenewRecoveryCodes)
    def renew(self, ctx: Context, message: own.RenewRecoveryCodes) -> own.RecoveryCodes:
        self._confirm(ctx, message.password)
        codes = self._managers.totp.renew_recovery_codes(ctx.principal.id, message.code)
        return own.RecoveryCodes(codes=codes)

    @handles(own.RemoveTotp)
    def remove(self, ctx: Context, message: own.RemoveTotp) -> Empty:
        self._confirm(ctx, message.password)
        self._managers.totp.remove(ctx.principal.id, message.code)
        return Empty()

    @handles(m.ResetTotp)
    def reset(self, ctx: Context, message: m.ResetTotp) -> Empty:
        ctx.note(user=message.user_id)
        self._managers.totp.reset(ctx.principal, message.user_id)
        return Empty()


def _session_of(ctx: Context) -> str:
    """The id of the session that the caller's token is of; empty when their key alone identifies them."""
    return str(ctx.principal.claims.get("jti", ""))
