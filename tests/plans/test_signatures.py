"""The frozen table of signatures says what torch's schemas say."""

from __future__ import annotations

import subprocess
import sys

from syft_ext.plans.graph.ops import ALLOWED
from syft_ext.plans.graph.opset import NAMES
from syft_ext.plans.graph.signatures import signature_of


def test_every_operation_has_the_signature_of_its_schema() -> None:
    for name in NAMES:
        schema, found = ALLOWED[name]._schema, signature_of(name)
        assert [
            (each.name, str(each.real_type), not each.has_default_value(), each.kwarg_only)
            for each in schema.arguments
        ] == [(each.name, each.kind, each.required, each.keyword_only) for each in found.parameters], name
        assert found.results == len(schema.returns)
        assert found.view == any(each.alias_info is not None for each in schema.returns), name


def test_a_plan_is_read_and_validated_without_torch() -> None:
    program = """
import sys
sys.modules["torch"] = None
from syft_ext.plans.checking.validate import validate
from syft_ext.plans.graph.document import decode
"""
    subprocess.run([sys.executable, "-c", program], check=True)
