"""The release: the first sealed output of a round that is confirmed is the only one, whatever is repeated (A2)."""

from __future__ import annotations

from grid.key_host.chain import LedgerEntry, append, head_of
from grid.key_host.core import HostCore
from grid.key_host.denials import denied_here
from grid.key_host.machines.round import RoundEffect, confirm
from grid.key_host.policies import held
from grid.key_host.rounds import round_of_manifest
from grid.key_host.sessions import check_denied
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.grants import ConfirmRequest, Release, ReleaseShares
from syft_ext.confidential.release import return_share
from syft_ext.confidential.sessions import CHALLENGE_LIFE, SessionStatement
from syft_ext.errors import BadRequest, ExpiredMessage, KeyRefused

__all__ = ["confirm_output"]


def confirm_output(
    core: HostCore,
    signed: Signed[ConfirmRequest],
    signed_shares: Signed[ReleaseShares],
    signed_session: Signed[SessionStatement],
) -> Signed[Release]:
    """This host's share of the output's key, sealed to the Domain, once the output is noted on the disk.

    Raises :class:`KeyRefused` with the reason, and what the statements' own checks raise; a share that does not
    open notes nothing.
    """
    request = ConfirmRequest.decode(signed.body)
    if request.host != core.key:
        raise BadRequest("this was signed for another host")
    own = signed_session.open(SessionStatement, core.key)
    shares = signed_shares.open(ReleaseShares, own.worker.sign)
    if (shares.manifest, shares.output) != (request.manifest, request.output):
        raise KeyRefused("the worker released another output than the Domain asks for", reason="other-output")
    with core.turn(spends=True) as turn:
        turn.require_running()
        held_round = round_of_manifest(turn.session, request.manifest)
        context = held_round.context
        signed.open(ConfirmRequest, context.domain)
        if abs(turn.at - request.at) > CHALLENGE_LIFE:
            raise ExpiredMessage("this was signed too long ago, or ahead of this host's time", now=turn.at)
        if (own.policy, own.domain, own.process) != (context.policy, context.domain, context.process):
            raise KeyRefused("the worker's session was for another training", reason="session")
        found = held(turn.session, context.policy)
        found.require("approved", "retired")
        if own.simulated and not found.simulated:
            raise KeyRefused(
                "the session is simulated, and the policy takes none that is", reason="simulated"
            )
        # Why one is denied may be what its outputs tell: one that has not left yet does not leave.
        check_denied(turn.session, denied_here(turn.session), own)
        step = confirm(held_round.facts(), request.manifest, request.output, turn.at)
        place = [host.key for host in found.policy.hosts].index(core.key)
        # Made before the note is on the disk, and handed out after: a share that does not open notes nothing.
        sealed = return_share(held_round.key, held_round.secret(core, "release"), place, shares, request)
        held_round.take(step)
        head = head_of(turn.session, turn.incarnation)
        if RoundEffect.RECORD in step.effects:
            entry = LedgerEntry(
                what="release",
                at=turn.at,
                context=context.digest(),
                manifest=request.manifest,
                output=request.output,
                scope=found.policy.scope,
            )
            head = append(turn.session, turn.incarnation, entry)
        key_id = bytes.fromhex(held_round.row.key_id)
    release = Release(
        host=core.key,
        manifest=request.manifest,
        output=request.output,
        key=key_id,
        sealed=sealed,
        head=head,
    )
    return Signed.make(release, core.identity)
