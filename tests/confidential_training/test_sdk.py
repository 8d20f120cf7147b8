"""Whole rounds by the SDK alone: hosted under a policy, answered by pins, and a checkpoint with its receipt."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
import torch

import syft_ext as sy
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.errors import InvalidConfig, InvalidStatement, OfferRefused
from syft_ext.identity import Identity
from tests.confidential_training.conftest import MODEL, changes, on_the_grid
from tests.confidential_training.consortium import DAY, GRID_BITS, Consortium


def certificate(home: Consortium, subject: str, key: Identity | str) -> Signed[ParticipantCertificate]:
    now = int(time.time())
    return Signed.make(
        ParticipantCertificate(key_of(home.authority), subject, key_of(key), now - DAY, now + 30 * DAY),
        home.authority,
    )


def trust(home: Consortium, identity: Identity, subject: str, **fields: Any) -> sy.Trust:
    pins: dict[str, Any] = {
        "hosts": [host.node.identity.verify_key for host in home.hosts],
        "authorities": [home.authority.verify_key],
        "owners": [home.owner.verify_key],
        "evidence": [home.attestation()],
        "certificate": certificate(home, subject, identity),
        "rho": 10**7,  # so little noise that the mean can be told
        "rounds": 10,
        "production": False,
    }
    return sy.Trust(**{**pins, **fields})


def quiet(line: str) -> None:
    """Nobody reads it."""


def participate(home: Consortium, subject: str, change: dict[str, Any], found: dict[str, Any]) -> None:
    """One hospital: train, seal, report."""
    identity = Identity.generate()
    pins = trust(home, identity, subject)
    client = sy.FLClient(home.domain.url, identity=identity, trust=pins, say=quiet)
    try:
        job = client.new_job("sdk", "1")

        def train(job: sy.FLJob) -> list[torch.Tensor]:
            found[subject] = job.offer
            return [
                tensor - torch.from_numpy(change[name])
                for name, tensor in zip(job.model.names, job.model, strict=True)
            ]

        job.run(train, max_cycles=1)
    except Exception as error:
        found[subject] = error
    finally:
        client.close()


def test_a_training_by_pins_and_a_checkpoint_with_a_receipt(
    home: Consortium, plans: dict[str, bytes]
) -> None:
    signed = home.approve(home.policy(plans, **home.noisy(0.001, 3)))
    host = sy.ModelCentricFLClient(home.domain.url.removeprefix("http://"))
    training = host.host_federated_training(
        model=MODEL,
        client_plans=plans,
        client_config={"name": "sdk", "version": "1"},
        server_config={"num_cycles": 1, "min_diffs": 2, "max_diffs": 2, "max_workers": 4},
        confidential=signed,
        say=quiet,
    )
    assert training.view.report_format == "sealed"
    found: dict[str, Any] = {}
    given = changes(2)
    threads = [
        threading.Thread(target=participate, args=(home, f"hospital {i}", each, found))
        for i, each in enumerate(given)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not any(isinstance(each, Exception) for each in found.values()), found
    for offer in found.values():
        checks = [finding.check for finding in offer.findings]
        assert {"hosts", "authorities", "sessions", "heads", "evidence", "odometer"} <= set(checks)
        assert offer.verified.appraisal is not None
        assert "SIMULATED" in repr(offer)
    home.completed(training.id)

    checkpoint = host.retrieve_model("sdk", "1")
    counted = [on_the_grid(each) for each in given]
    for name, before in MODEL.items():
        mean = sum(each[name] for each in counted) / 2 / 2**GRID_BITS
        difference = checkpoint.state_dict()[name].numpy() - (before.numpy() - mean)
        assert np.abs(difference).max() < 0.01  # σ of the mean: 0.0005
    receipt = checkpoint.receipt
    assert (receipt.receipt.participants, receipt.simulated) == (2, True)
    assert receipt.by([each.node.identity.verify_key for each in home.hosts], [home.owner.verify_key])
    with pytest.raises(InvalidStatement, match="none of yours"):
        receipt.by([home.hosts[0].node.identity.verify_key])
    assert "SIMULATED" in repr(receipt)
    assert "protects nobody" in receipt._repr_html_()
    assert host.retrieve_model("sdk", "1", 1).receipt is None
    host.close()


def test_pins_that_do_not_fit_send_nothing(home: Consortium, plans: dict[str, bytes]) -> None:
    signed = home.approve(home.policy(plans, **home.noisy(0.002, 3)))
    process_id = home.host(MODEL, signed, plans, name="unfit")
    identity = Identity.generate()
    wrong = trust(
        home, identity, "hospital 9", hosts=[host.node.identity.verify_key for host in home.hosts[:2]]
    )
    client = sy.FLClient(home.domain.url, identity=identity, trust=wrong, say=quiet)
    with pytest.raises(OfferRefused) as caught:
        client.new_job("unfit", "1").run(lambda job: job.model)
    assert caught.value.extra["check"] == "hosts"
    assert home.status(process_id).reported == 0
    client.close()


def test_a_policy_is_its_owners_word(home: Consortium, plans: dict[str, bytes]) -> None:
    host = sy.ModelCentricFLClient(home.domain.url.removeprefix("http://"))
    policy = home.policy(plans)
    mallory = Signed.make(policy, Identity.generate())
    for bad in (policy, mallory, mallory.encode(), b"no"):
        with pytest.raises(InvalidConfig):
            host.host_federated_training(
                model=MODEL,
                client_plans=plans,
                client_config={"name": "bad", "version": "1"},
                server_config={"num_cycles": 1},
                confidential=bad,
                say=quiet,
            )
    host.close()
