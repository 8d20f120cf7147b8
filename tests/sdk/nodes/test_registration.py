"""Registering a dataset is done as a whole: whatever fails on the way, nothing of it stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch

import syft_ext as sy
from syft_ext.errors import BadRequest, Unavailable
from syft_ext.messages.envelope import Envelope
from syft_ext.nodes.datasets import Dataset
from syft_ext.transport import LocalTransport
from syft_ext.transport.base import IncomingFrame, Pieces
from tests.accounts.people import OWNER, PASSWORD, House
from tests.sdk.nodes.test_datasets import domain  # noqa: F401


class _FailingTransport(LocalTransport):
    """Answers until ``left`` exchanges have been made; the one after these fails, and the others are answered."""

    left: int | None = None
    error: BaseException = Unavailable("the line broke")

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise self.error
        return super().exchange(envelope, payload, timeout=timeout)


Create = Callable[[sy.DomainClient], Dataset]


def _two_assets_with_mocks(client: sy.DomainClient) -> Dataset:
    """Four uploads, then the dataset: any of the five may fail."""
    data = {"x": torch.ones(3, 2), "y": torch.ones(3)}
    return client.datasets.create("pair", data, mock={"x": torch.zeros(1, 2), "y": torch.zeros(1)})


def _with_statistics_and_a_made_mock(client: sy.DomainClient) -> Dataset:
    """An upload, the dataset, its statistics, its mock, and what became of it."""
    schema = {"age": {"low": 0.0, "high": 120.0}}
    values = {"age": numpy.arange(40.0)}
    return client.datasets.create(
        "patients", {"data": values}, mock="generate", schema=schema, statistics=["mean"], mock_rows=5
    )


def _several_made_mocks(client: sy.DomainClient) -> Dataset:
    """The first mock is there when the second fails."""
    return client.datasets.create("both", {"x": torch.ones(3), "y": torch.ones(3)}, mock="generate")


@pytest.fixture
def transport(domain: House) -> _FailingTransport:  # noqa: F811
    return _FailingTransport(domain.node)


@pytest.fixture
def owner(transport: _FailingTransport) -> sy.DomainClient:
    found = sy.login("http://h:1", OWNER, PASSWORD, transport=transport)
    assert isinstance(found, sy.DomainClient)
    return found


@pytest.mark.parametrize(
    ("create", "steps"),
    [
        (_two_assets_with_mocks, 5),
        (_with_statistics_and_a_made_mock, 5),
        (_several_made_mocks, 6),
    ],
)
@pytest.mark.parametrize("error", [Unavailable("the line broke"), KeyboardInterrupt()])
def test_whichever_step_fails_nothing_is_left(
    owner: sy.DomainClient, transport: _FailingTransport, create: Create, steps: int, error: BaseException
) -> None:
    transport.error = error
    for step in range(steps):
        transport.left = step
        with pytest.raises(type(error)):
            create(owner)
        assert (len(owner.datasets), len(owner.store)) == (0, 0), f"step {step}"
    transport.left = steps
    assert create(owner).assets
    assert transport.left == 0, "there are more steps than were tried"


def test_other_data_that_are_refused_are_not_kept(
    owner: sy.DomainClient, transport: _FailingTransport
) -> None:
    asset = owner.datasets.create("d", torch.ones(3), mock=torch.zeros(1))["data"]
    before = {item.id for item in owner.store}
    for step in range(3):  # data, mock, and the change itself
        transport.left = step
        with pytest.raises(Unavailable):
            asset.update(torch.ones(4), mock=torch.zeros(2))
        assert {item.id for item in owner.store} == before
    assert asset.update(torch.ones(4), mock=torch.zeros(2)).data.shape == (4,)


@pytest.mark.parametrize(
    "options",
    [{"visibility": "everybody"}, {"published": ["secrets"]}, {"viewers": ["ann"]}, {"tags": [""]}],
)
def test_what_the_domain_would_refuse_is_refused_before_anything_is_sent(
    owner: sy.DomainClient, transport: _FailingTransport, options: dict[str, Any]
) -> None:
    transport.left = 0
    with pytest.raises(BadRequest, match=next(iter(options))):
        owner.datasets.create("d", torch.ones(3), **options)
    assert transport.left == 0


@pytest.mark.parametrize(
    ("options", "missing"), [({"person": "patient"}, "rows_per_person"), ({"rows_per_person": 2}, "person")]
)
def test_who_names_persons_is_told_what_is_missing(
    owner: sy.DomainClient, options: dict[str, Any], missing: str
) -> None:
    with pytest.raises(BadRequest, match=f"; {missing} is missing"):
        owner.datasets.create("d", {"patient": [1, 2]}, **options)


def test_an_asset_of_one_tensor_says_its_shape_and_type_to_a_secret(owner: sy.DomainClient) -> None:
    tensor = owner.datasets.create("d", torch.ones(3, 2, dtype=torch.float64))["data"]
    table = owner.datasets.create("t", {"data": {"age": [1, 2]}})["data"]
    assert (tensor.shape, tensor.dtype, table.shape, table.dtype) == ((3, 2), "float64", None, None)
    session = sy.LocalSession()
    secret = sy.MPCTensor(secret=(owner, tensor), session=session, bound=1.0)
    assert secret.shape == (3, 2) and secret.plan.inputs[0].dtype == "f64"
    unsaid = sy.MPCTensor((owner, tensor.object_id), session, bound=1.0, shape=[3])
    assert unsaid.plan.inputs[0].dtype == "f32"
    with pytest.raises(BadRequest, match=r"shape=\["):
        sy.MPCTensor(secret=(owner, table), session=session, bound=1.0)


def test_an_option_that_there_is_not_is_a_type_error(owner: sy.DomainClient) -> None:
    wrong: dict[str, Any] = {"visible": "public"}
    with pytest.raises(TypeError, match="visible"):
        owner.datasets.create("d", torch.ones(3), **wrong)
    with pytest.raises(TypeError, match="positional"):
        owner.datasets.create("d", torch.ones(3), torch.zeros(3))  # type: ignore[call-arg]
