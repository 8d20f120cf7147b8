"""The example of a policy in the documents is one."""

from __future__ import annotations

import re

from syft_ext.attestation.policy import policy_from_json
from tests.attestation.recorded import ROOT


def test_the_example_of_a_policy_is_one() -> None:
    text = (ROOT / "docs" / "attestation.md").read_text()
    examples = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert [policy_from_json(example.encode()).kinds for example in examples] == [("snp", "tdx")]
