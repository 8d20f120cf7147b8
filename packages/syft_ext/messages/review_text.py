"""Whose word a training runs on, in words that are what they look like."""

from __future__ import annotations

from syft_ext.messages.training_reviews import TrainingReview
from syft_ext.readable import readable

__all__ = ["describe_review"]


def describe_review(review: TrainingReview) -> str:
    """Whose word a training runs on, in a few words."""
    who = ", ".join(review.reviewers) or _unnamed(review.reviewer_count)
    words = {
        "none": "there is nothing to review yet",
        "pending": "its review is not decided yet",
        "approved": f"approved by {who}" if who else "approved, and nobody says by whom",
        "denied": f"denied by {who or 'its reviewers'}",
        "revoked": f"its approval was revoked by {who or 'its reviewers'}",
        "withdrawn": "withdrawn by its host",
        "own": "its host decides at this Domain themselves",
        "open": "the Domain asks nobody for a review",
    }
    return readable(words[review.state])


def _unnamed(count: int) -> str:
    return f"{count} reviewer{'s' if count > 1 else ''} whom it does not name" if count else ""
