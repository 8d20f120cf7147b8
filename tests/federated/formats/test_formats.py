"""Every format under one contract, and what each has for itself."""

from __future__ import annotations

import pytest
import torch

from syft_ext.errors import InvalidConfig, InvalidTensors
from syft_ext.tensors import encode_tensors
from tests.federated.formats.contract import FormatContract
from tests.federated.formats.home import Home
from tests.federated.formats.key_host import KeyHost
from tests.federated.formats.masked import MaskedFormat


class TestPlain(FormatContract):
    name, options, conceals = "plain", {}, False

    def test_it_is_what_a_training_has_that_declares_nothing(self, home: Home) -> None:
        process_id = home.host(self.MODEL, num_cycles=1, max_diffs=1)
        assert home.pipeline.views.process(process_id).report_format == "plain"

    def test_differences_and_trained_parameters_are_both_reports(self, home: Home) -> None:
        process_id = self.host(home, max_diffs=2, num_cycles=1)
        changes = self.changes(1, 2)
        parts = [home.join() for _ in changes]
        parts[0].learn(changes[0])
        body = encode_tensors(parts[1].trained(changes[1]))
        parts[1].send([body], "params")
        home.until(process_id, 1)
        assert self.close_to(home.model(), changes)


class TestSealed(FormatContract):
    name, options, conceals = "locked", {"key_host": "host"}, True

    def test_the_key_is_not_given_before_the_cohort_is_there(self, home: Home, key_host: KeyHost) -> None:
        """Whoever closes the cycle early can open nothing."""
        process_id = self.host(home, max_diffs=1, num_cycles=1)
        home.cycle(self.changes(1, 1))
        assert home.pipeline.drain()
        assert key_host.refusals == 1
        assert home.pipeline.views.process(process_id).cycle_status == "aggregating"  # it is tried again

    def test_a_report_that_was_changed_on_its_way_is_taken_back(self, home: Home) -> None:
        process_id = self.host(home, max_diffs=3, min_diffs=2, num_cycles=1)
        changes = self.changes(2)
        home.cycle(changes[:2])
        part = home.join()
        report = part.encode(changes[2])
        body = bytearray(b"".join(bytes(piece) for piece in report.pieces))
        body[100] ^= 1
        part.send([bytes(body)])
        home.until(process_id, 1)
        (cycle,) = home.pipeline.views.metrics(process_id)
        assert (cycle.reported, cycle.rejected) == (2, 1)
        assert self.close_to(home.model(), changes[:2])


class TestMasked(FormatContract):
    name, options, conceals = "masked", {"key_host": "host", "scale": 1 << 32}, True

    def test_what_it_cannot_carry_is_refused_when_hosting(self, home: Home) -> None:
        for wrong, field in (
            ({"weighting": "samples"}, "weighting"),
            ({"report_options": {}}, "report_options"),
        ):
            with pytest.raises(InvalidConfig) as caught:
                self.host(home, **wrong)
            assert caught.value.extra["field"] == field
        with pytest.raises(InvalidTensors, match="float32 and float64"):
            home.host({"n": torch.tensor([7])}, report_format="masked", report_options=self.options)

    def test_where_it_cannot_be_read_again_the_model_is_durable_first(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As if the key host gave the sum of the masks once only."""
        monkeypatch.setattr(MaskedFormat, "repeatable", False)
        self.test_a_lost_model_is_made_again_from_its_reports(home, monkeypatch)
