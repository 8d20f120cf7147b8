"""One participant of ``--confidential``, with a folder of its own: it checks every offer, or sends nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import torch

import syft_ext as sy
from demo.consortium import Setting
from syft_ext.attestation.policy import decode_policy
from syft_ext.federated.batches import PlanTrainer
from syft_ext.identity import Identity

__all__ = ["main"]


def main() -> None:
    """Take part as the setting on standard input says, until the training ends."""
    setting = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Setting)
    torch.set_num_threads(1)
    data = np.load(setting.data)
    trust = sy.Trust(
        hosts=setting.hosts,
        authorities=setting.authorities,
        evidence=[decode_policy(setting.evidence)],
        certificate=setting.certificate,
        rho=setting.rho,
        rounds=setting.rounds,
        production=False,  # there is no enclave on this machine; for anything real, this stays as it is
    )
    client = sy.FLClient(setting.url, identity=Identity.load_or_create(Path(setting.key_file)), trust=trust)
    trainer = PlanTrainer(torch.from_numpy(data["x"]), torch.from_numpy(data["y"]), seed=setting.seed)
    client.new_job(setting.training, setting.version).run(trainer)


if __name__ == "__main__":
    main()
