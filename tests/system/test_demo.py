"""What a visitor of ``./grid-demo`` sees must not depend on chance: its configuration, without its nodes."""

from __future__ import annotations

import torch

from demo.__main__ import RUNS
from demo.data import Study
from demo.models import MLP, accuracy, train_locally, training_step
from syft_ext.federated.batches import PlanTrainer

ROUNDS = 20


def federated(study: Study, model: MLP, lr: float, batch_size: int, epochs: int, order: list[int]) -> float:
    """The accuracy after 20 rounds of FedAvg; reports come in ``order``."""
    step = training_step(model)
    params = [p.detach().clone() for p in model.parameters()]
    trainers = [PlanTrainer(part.x, part.y, seed=index + 1) for index, part in enumerate(study.parts)]
    config = {"batch_size": batch_size, "epochs": epochs}
    for cycle in range(1, ROUNDS + 1):
        total = [torch.zeros_like(p) for p in params]
        for index in order:
            trainer, mine = trainers[index], params
            for rows in trainer._batches(config, None, cycle):
                _, _, *mine = step(trainer.x[rows], trainer.y[rows], torch.tensor(lr), mine)
            for value, base, trained in zip(total, params, mine, strict=True):
                value += (base - trained) * len(trainer.x)
        count = sum(len(part) for part in study.parts)
        params = [p - value / count for p, value in zip(params, total, strict=True)]
    return accuracy(model, params, study.test)


def test_federated_is_better_than_each_hospital_alone_whoever_reports_first() -> None:
    make_study, model_type, lr, batch_size, epochs = RUNS[0]
    study = make_study()
    torch.manual_seed(1)
    assert model_type is MLP
    model = MLP(study)
    found = {federated(study, model, lr, batch_size, epochs, order) for order in ([0, 1, 2, 3], [3, 1, 2, 0])}
    assert len(found) == 1, "the order of the reports shows"
    for site in (0, 1):
        alone = train_locally(model, study.site(site), epochs=ROUNDS * epochs, batch_size=batch_size, lr=lr)
        assert min(found) > accuracy(model, alone, study.test)
