"""What may be said of a training whose reports are encrypted: who holds the key, and what that means."""

from __future__ import annotations

from syft_ext.encrypted.sums import EncryptedSumTerms

__all__ = ["CKKS", "CONTEXT_PROTOCOL", "sentences"]

CKKS = "ckks"
"""The report format of these trainings."""
CONTEXT_PROTOCOL = "he.context"
"""The protocol of such a training that is the holder's public context: its digest is in the definition, twice."""


def sentences(terms: EncryptedSumTerms, count: int) -> list[str]:
    """What reviewers and participants are told, one fact each.

    Args:
        count: numbers that are summed.
    """
    rules = terms.rules(count)
    most, fewest = terms.participants, terms.minimum
    reports = f"{most}" if fewest == most else f"{fewest} to {most}"
    return [
        f"Reports are encrypted ({terms.parameters}) under the key of whoever hosts this training, whose public "
        f"context is {terms.context}. In each cycle they see the sum of {reports} reports and how "
        "many they are, and tell the Domain that sum.",
        "Reports are counted, not people: where the site's policy names no min_participants, all of a sum "
        "but yours may be of one of them.",
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
        "No noise is added: what several sums, or a sum and all but one of its reports, say of one is not "
        "bounded.",
        "Only the model's parameters move; running statistics and counters stay as they were hosted. Loss and "
        "accuracy are not reported.",
    ]
