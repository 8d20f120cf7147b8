"""What an encrypted training refuses: when it is hosted, of reports, of whoever asks for sums, and of what is
opened."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
import torch

import syft_ext as sy
from grid.federated.intake.ckks import CkksFormat, terms_of
from syft_ext.client.opening.sums import OpenedSum
from syft_ext.encrypted.context import EncryptionKeys
from syft_ext.encrypted.frames import frame, read_form
from syft_ext.encrypted.statement import CONTEXT_PROTOCOL
from syft_ext.encrypted.sums import EncryptedSumTerms
from syft_ext.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidConfig,
    InvalidTensors,
    NotAgreed,
    NotFound,
    TooLarge,
    Unsupported,
)
from syft_ext.federated.formats.ckks import CkksEncoder
from syft_ext.federated.formats.encoder import ReportContext
from syft_ext.messages.encrypted_sums import AdvanceTraining, GetEncryptedSum
from syft_ext.messages.federated import HostTraining
from tests.encrypted.training.site import Site, changes
from tests.sdk.live import PASSWORD


def terms(keys: EncryptionKeys, **fields: Any) -> dict[str, Any]:
    known = {"clip": 1.0, "participants": 3, "minimum": 3, "parameters": "add4096", **fields}
    return {"context": keys.public.digest, **known}


def host(site: Site, name: str, options: dict[str, Any], protocols: dict[str, bytes], **server: Any) -> None:
    config = {"max_diffs": 3, "report_format": "ckks", "report_options": options, **server}
    site.owner.call(
        HostTraining(
            name=name,
            version="1",
            client_plans={},
            client_protocols=protocols,
            client_config={"name": name, "version": "1"},
            server_config=config,
        )
    )


def test_hosting_refuses_what_would_not_hold(site: Site, other_keys: EncryptionKeys) -> None:
    keys, context = site.keys, {CONTEXT_PROTOCOL: site.keys.public.content}
    secret = msgspec.msgpack.encode((keys.public.content, keys._secret))
    header = keys.public.content[: keys.public.content.index(b"add4096") + 7]
    wrong: list[tuple[str, dict[str, Any], dict[str, bytes], dict[str, Any], str]] = [
        ("wraps", terms(keys, clip=1500.0), context, {}, "report_options"),
        ("alone", terms(keys, minimum=1), context, {}, "report_options"),
        ("unknown", terms(keys, parameters="mul8192"), context, {}, "report_options"),
        ("weak", terms(keys, parameters="add2048"), context, {}, "report_options"),
        ("colour", terms(keys, colour="red"), context, {}, "report_options"),
        ("more", terms(keys, participants=4), context, {}, "max_diffs"),
        ("early", terms(keys), context, {"cycle_length": 600, "min_diffs": 2}, "min_diffs"),
        ("weights", terms(keys), context, {"weighting": "samples"}, "weighting"),
        ("none", terms(keys), {}, {}, "report_options"),
        ("foreign", terms(keys), {CONTEXT_PROTOCOL: other_keys.public.content}, {}, "report_options"),
        ("garbage", terms(keys), {CONTEXT_PROTOCOL: b"context"}, {}, "report_options"),
        ("saved", terms(keys), {CONTEXT_PROTOCOL: secret}, {}, "report_options"),
        ("secret", terms(keys), {CONTEXT_PROTOCOL: header + keys._secret}, {}, "report_options"),
    ]
    for name, options, protocols, server, field in wrong:
        with pytest.raises(InvalidConfig) as caught:
            host(site, name, options, protocols, **server)
        assert caught.value.extra["field"] == field, name
    assert not [each for each in site.owner.trainings if each.name not in ("t",)]


def test_a_policy_with_noise_refuses_one_without_when_hosted_and_at_the_next_cycle(site: Site) -> None:
    training = site.begin()
    site.cycle(changes(1, 3))
    site.open()
    site.set_policy(clip_norm=1.0, noise_multiplier=1.0)
    with pytest.raises(InvalidConfig, match="only the sum is seen"):
        site.begin("later")
    # The cycle that is open keeps the policy that it was opened under; the one after it comes to nothing.
    site.cycle(changes(2, 3))
    site.open()
    site.cycle(changes(3, 3))
    assert site.pipeline.drain()
    assert training.refresh().view.status == "failed" and "only the sum is seen" in training.view.reason


def test_a_report_that_is_none_is_refused_by_itself(site: Site, other_keys: EncryptionKeys) -> None:
    training = site.begin(num_cycles=1)
    learned, part = changes(1, 3), None
    part = site.join()
    (body,) = [bytes(piece) for piece in part.encode(learned[0]).pieces]
    form, offset = read_form(body[:1100], len(body))
    rules = EncryptedSumTerms.parse(part.assignment.report_options).rules(4205)
    foreign = msgspec.structs.replace(rules, context=other_keys.public.digest)
    theirs = foreign.encrypted(other_keys.public, np.zeros(4205))
    wider = msgspec.structs.replace(rules, clip=2.0).encrypted(site.keys.public, np.zeros(4205))
    hollow = body[:offset] + bytes(len(body) - offset)
    pieces = [b"no ciphertext"] * form.ciphertexts
    for wrong, error in (
        (b"", InvalidTensors),
        (body[:-1], InvalidTensors),
        (body + b"x", InvalidTensors),
        (body * 40, TooLarge),
        (wider, InvalidTensors),
        (hollow, InvalidTensors),
        (b"".join(frame(form, pieces)), InvalidTensors),
        (site.keys._secret, InvalidTensors),
        (theirs, Conflict),
    ):
        with pytest.raises(error):
            part.send([wrong], "ckks")
    for kind in ("plain", "diff"):
        with pytest.raises(BadRequest, match="no kind"):
            part.send([body], kind)
    with pytest.raises(Conflict, match="takes no loss"):
        part.send([body], "ckks", loss=0.5)
    assert site.pipeline.views.process(training.id).reported == 0
    part.send([body], "ckks")
    with pytest.raises(Conflict):
        part.send([body], "ckks")
    site.cycle(learned[1:])
    site.open()


def test_one_who_lies_about_the_key_is_found_by_whoever_opens(site: Site, other_keys: EncryptionKeys) -> None:
    training = site.begin(num_cycles=1)
    part = site.join()
    rules = EncryptedSumTerms.parse(part.assignment.report_options).rules(4205)
    foreign = msgspec.structs.replace(rules, context=other_keys.public.digest)
    theirs = foreign.encrypted(other_keys.public, np.zeros(4205))
    part.send([theirs.replace(other_keys.public.digest.encode(), site.keys.public.digest.encode())], "ckks")
    site.cycle(changes(1, 2))
    site.summed()
    with pytest.raises(InvalidTensors, match="another key"):
        training.decrypt(site.keys)
    training.cancel("a report was under another key")
    assert training.status == "cancelled"
    with pytest.raises(NotFound):
        training.decrypt(site.keys)


def test_what_the_holder_says_must_be_a_sum_of_reports(site: Site) -> None:
    training = site.begin(num_cycles=2)
    with pytest.raises(NotFound, match="waits to be opened"):
        training.decrypt(site.keys)
    site.cycle(changes(1, 3))
    site.summed()
    opened = training.decrypt(site.keys)
    assert (opened.cycle, opened.count) == (1, 3)
    for sums, error in (
        (opened.sums[:-1], InvalidTensors),
        (opened.sums + 1e-9, InvalidTensors),
        (np.full(4205, np.nan), InvalidTensors),
        (np.full(4205, 3.5), InvalidTensors),
    ):
        with pytest.raises(error):
            training.advance(OpenedSum(opened.process_id, 1, 3, sums, opened.tensors))
    with pytest.raises(Conflict, match="cycle 1 waits"):
        training.advance(OpenedSum(opened.process_id, 2, 3, opened.sums, opened.tensors))
    training.advance(opened)
    with pytest.raises((Conflict, NotFound)):
        training.advance(opened)
    site.until(training.id, 1)
    assert site.training().view.checkpoint == 2


def test_sums_are_their_hosts_alone(site: Site, other_keys: EncryptionKeys) -> None:
    training = site.begin(num_cycles=1)
    site.cycle(changes(1, 3))
    site.summed()
    site.owner.users.create("manager@hospital.org", PASSWORD, role="Administrator")
    manager = sy.login(site.served.url, "manager@hospital.org", PASSWORD, save=False)
    for message, body in (
        (GetEncryptedSum(process_id=training.id), ()),
        (AdvanceTraining(process_id=training.id, cycle=1), (b"sum",)),
    ):
        with pytest.raises(Forbidden, match="only who hosts"):
            manager.connection.call(message, body)
    with pytest.raises(Conflict, match="not the context"):
        training.decrypt(other_keys)


def test_a_participant_holds_the_domain_to_what_was_agreed(site: Site, other_keys: EncryptionKeys) -> None:
    site.begin()
    part = site.join()
    context = part.job.report_context()
    trained = part.trained(changes(1, 1)[0])
    for protocols, error in (
        ({}, NotAgreed),
        ({CONTEXT_PROTOCOL: other_keys.public.content}, NotAgreed),
        ({CONTEXT_PROTOCOL: b"nothing"}, BadRequest),
    ):
        swapped = ReportContext(context.process_id, context.assignment, context.base, protocols=protocols)
        with pytest.raises(error):
            CkksEncoder().encode(swapped, trained)
    for wrong in (terms(site.keys, clip=4000.0), terms(site.keys, minimum=1), {}):
        with pytest.raises(Unsupported, match="protect nobody"):
            CkksEncoder().check(wrong)
    assert part.assignment.report_options["context"] == site.keys.public.digest
    (piece,) = CkksEncoder().encode(context, trained).pieces
    form, _ = read_form(bytes(piece)[:1100], len(piece))
    assert (form.context, form.counted, form.bound) == (site.keys.public.digest, True, 1.0)


def test_numbers_are_clipped_by_the_participant_exactly(site: Site) -> None:
    training = site.begin(num_cycles=1, clip=0.25)
    learned = changes(1, 3, scale=1.0)
    site.cycle(learned)
    site.summed()
    opened = training.decrypt(site.keys)
    flat = [
        torch.cat([-change[name].double().reshape(-1) for name in ("weight", "bias")]) for change in learned
    ]
    wanted = sum(each.clamp(-0.25, 0.25) for each in flat)
    assert float(np.abs(opened.sums - wanted.numpy()).max()) < 1e-6  # type: ignore[union-attr]


def test_reviewers_read_who_holds_the_key_and_what_that_means(site: Site) -> None:
    text = " ".join(site.begin().review().statement)
    for said in (
        site.keys.public.digest,
        "the sum of 3 reports",
        "3 different people or accepted Workers at least",
        "only reports are counted",
        "together see every report",
        "No noise",
    ):
        assert said in text
    assert "the sum of 2 to 3 reports" in " ".join(site.begin("u", min_diffs=2).review().statement)
    options = site.pipeline.definitions.get(site.training().id).server
    assert terms_of(options).minimum == 3
    with pytest.raises(Unsupported):
        CkksFormat().reader(None, None, None)  # type: ignore[arg-type]


def test_what_the_sdk_refuses_to_host(site: Site) -> None:
    encrypted = sy.EncryptedSums(keys=site.keys, clip=1.0)
    for server, field in (
        ({"max_diffs": 3, "report_format": "plain"}, "report_format"),
        ({"cycle_length": 60}, "max_diffs"),
        ({"max_diffs": 5000}, "clip"),
    ):
        with pytest.raises(InvalidConfig) as caught:
            site.offer(encrypted, "t", server)
        assert caught.value.extra["field"] == field
