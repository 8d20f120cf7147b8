"""Trainings whose reports are masked: real nodes, real sockets, the same job as for any other training."""

from __future__ import annotations

import torch

from tests.secure_aggregation.home import MODEL, Home, together


def test_the_same_job_takes_part_and_the_model_moves_by_the_mean(home: Home) -> None:
    process_id = home.host(num_cycles=2)
    participants = [home.participant(change) for change in (0.1, 0.2, 0.6)]
    together(participants)
    view = home.until(process_id, lambda view: view.status != "running")
    assert view.status == "completed", view.reason
    assert [each.error for each in participants] == [None] * 3
    assert [each.summary.cycles for each in participants] == [2] * 3
    model = home.model()
    for name in ("weight", "bias"):
        assert torch.allclose(model[name], MODEL[name] + 0.6, rtol=0, atol=1e-5)
    assert model["steps"].tolist() == [7]
