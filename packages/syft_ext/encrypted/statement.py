"""What may be said of a training whose reports are encrypted: who holds the key, and what that means."""

from __future__ import annotations

from syft_ext.encrypted.sums import EncryptedSumTerms
from syft_ext.privacy.distributed import epsilon_of

__all__ = ["CKKS", "CONTEXT_PROTOCOL", "sentences"]

CKKS = "ckks"
"""The report format of these trainings."""
CONTEXT_PROTOCOL = "he.context"
"""The protocol of such a training that is the holder's public context: its digest is in the definition, twice."""


def sentences(terms: EncryptedSumTerms, count: int, cycles: int) -> list[str]:
    """What reviewers and participants are told, one fact each.

    Args:
        count: numbers that are summed. cycles: of the training; 0: until somebody cancels it.
    """
    rules = terms.rules(count)
    most, fewest = terms.participants, terms.minimum
    reports = f"{most}" if fewest == most else f"{fewest} to {most}"
    return [
        f"Reports are encrypted ({terms.parameters}) under the key of whoever hosts this training, whose public "
        f"context is {terms.context}. In each cycle they see the sum of {reports} reports and how "
        "many they are, and tell the Domain that sum.",
        f"A sum is of {fewest} different people or accepted Workers at least, each with one report, and of none "
        "of the host's own account. Where the site's policy lets anybody take part, nobody knows who they are, "
        "and only reports are counted: all of a sum but yours may be of one of them.",
        "The Domain sees who reports, and the sums that it is told; of a single report nothing but that it came. "
        "The holder of the key and the Domain together see every report: this protects you where these two are "
        "different parties that do not do that.",
        "Who takes part is the Domain's word. A holder of the key who is in league with all other participants "
        "takes their reports off the sum, and has yours.",
        f"Each honest participant puts its numbers on a grid of {rules.step:g} and clips each to {terms.clip:g}. "
        "Nobody can see whether one did: a dishonest participant can make the model worthless, and no "
        "report can be "
        "left out of the sum.",
        "Opened sums leave the holder rounded to that grid: they hold none of the errors of decryption, "
        "from which the key could be computed; a sum with a number beside the grid is not told. A Domain that "
        "gives the holder other ciphertexts than sums of reports, or a participant who makes one otherwise, "
        "could still learn a little of the key from each sum that passes, and may end the training with one "
        "that does not.",
        *_noise(terms, count, cycles),
        "Only the model's parameters move; running statistics and counters stay as they were hosted. Loss and "
        "accuracy are not reported.",
    ]


def _noise(terms: EncryptedSumTerms, count: int, cycles: int) -> list[str]:
    """What is said of noise."""
    rules = terms.rules(count)
    told = []
    if terms.norm is not None:
        told.append(
            f"Each honest participant scales its report down to an L2 norm of {terms.norm:g}. Nobody can see "
            "whether one did."
        )
    shared = rules.shared_noise
    if shared is None or terms.noise is None or terms.norm is None:
        return [
            *told,
            "No noise is added: what several sums, or a sum and all but one of its reports, say of one is not "
            "bounded.",
        ]
    rho, deviation = shared.rho(count), terms.noise * terms.norm
    told.append(
        f"Each participant adds discrete Gaussian noise with a variance of {float(rules.variance):.4g} squared "
        f"steps of the grid before it encrypts. That of {rules.honest} honest participants, of {terms.minimum} at "
        f"least in a sum, has a deviation of {deviation:g} in each number and gives ρ = {rho:.3g} "
        f"(zero-concentrated differential privacy) in a cycle with τ = {shared.tau:.3g} over {count} numbers, for "
        "a participant who is replaced by zeros, against the holder of the key and whoever sees the models."
    )
    told.append(
        f"Nobody can see whether a participant added its share. Where fewer than {rules.honest} of a sum did, its "
        f"noise is less: of k, √(k/{rules.honest}) of that deviation. A site's policy that demands noise relies "
        "on these participants."
    )
    if cycles:
        told.append(
            f"Over all {cycles} cycles that is ε = {epsilon_of(rho * cycles, 1e-6):.3g} at δ = 10⁻⁶, whoever "
            "takes part in all of them."
        )
    return told
