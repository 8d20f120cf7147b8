"""Model-centric federated learning, both sides: hosting a training, and taking part in one.

Knows trainings, plans and the key of one worker; must not know how a Domain makes a model of reports.
"""

from syft_ext.federated.events import Progress, RunSummary
from syft_ext.federated.fl_client import FLClient, GridWorker
from syft_ext.federated.hosting import ModelCentricFLClient
from syft_ext.federated.job import FLJob
from syft_ext.plans.training.parameters import Parameters
from syft_ext.plans.training.training_plan import StepResult, TrainingPlan

__all__ = [
    "FLClient",
    "FLJob",
    "GridWorker",
    "ModelCentricFLClient",
    "Parameters",
    "Progress",
    "RunSummary",
    "StepResult",
    "TrainingPlan",
]
