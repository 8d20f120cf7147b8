"""Reference values for the simulator."""

from __future__ import annotations

import msgspec

from syft_ext.attestation.references import check_sizes_of, check_some

__all__ = ["SimulatorReferences"]


class SimulatorReferences(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True
):
    """What simulated evidence is accepted, by policies that allow the simulator.

    Attributes:
        keys: Ed25519 keys that sign it, 32 bytes each: of Domains, mostly.
        workloads: digests of the program, 32 bytes each.
    """

    keys: tuple[bytes, ...]
    workloads: tuple[bytes, ...]

    def __post_init__(self) -> None:
        check_some("keys", self.keys)
        check_sizes_of("keys", self.keys, 32)
        check_some("workloads", self.workloads)
        check_sizes_of("workloads", self.workloads, 32)
