"""What leaves a participant at most: its owner's bounds, applied after whatever the training's plan did.

Knows tensors, counts and the owner's bounds; must not know plans, cycles or how a report is sent. Nothing
here runs where a plan runs, and nothing of a training can loosen it.
"""

from syft_ext.federated.bounds.report_counts import ReportCounts
from syft_ext.federated.bounds.reports import BoundedReports
from syft_ext.messages.worker_bounds import check_bounds

__all__ = ["BoundedReports", "ReportCounts", "check_bounds"]
