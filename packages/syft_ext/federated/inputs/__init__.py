"""A participant's data, matched by name against what a training declares that it takes.

    rows = match(declared, site_data("patients.csv", schema))     # rows.x, rows.y as the model gets them
    rows.notes                                 # what could not be compared, and what was left out

The Worker daemon and jobs in a notebook use the same code, before anything of a training runs on the data.
What does not match is refused with the column and the row (:class:`~syft_ext.errors.DataMismatch`), all of
it in one answer.

Knows declarations and what importers read; must not know Domains, jobs or plans.
"""

from syft_ext.federated.inputs.declaring import declare_inputs
from syft_ext.federated.inputs.matching import Rows, match
from syft_ext.federated.inputs.sites import SiteArrays, SiteData, SiteFolder, SiteTable, site_data

__all__ = [
    "Rows",
    "SiteArrays",
    "SiteData",
    "SiteFolder",
    "SiteTable",
    "declare_inputs",
    "match",
    "site_data",
]
