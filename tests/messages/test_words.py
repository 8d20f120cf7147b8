"""What declarations say in words to those who decide: nothing that matters is left out."""

from __future__ import annotations

import math
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_ext.errors import InvalidConfig
from syft_ext.messages.own_account import key_proof
from syft_ext.messages.plan_facts import PlanCost, RowInfluence, TrialOfRows, Verdict
from syft_ext.messages.plan_requests import PlanInfluence
from syft_ext.messages.report_metrics import coarse
from syft_ext.messages.review_text import describe_review
from syft_ext.messages.statistics import Levels
from syft_ext.messages.training_inputs import (
    ArrayInputs,
    CategoryColumn,
    NumberColumn,
    TableInputs,
    describe_inputs,
)
from syft_ext.messages.training_reviews import (
    DefinitionFacts,
    TrainingFacts,
    TrainingReview,
    WorkerBounds,
    content_digest,
    definition_digest,
    without_names,
)
from syft_ext.messages.vocabulary import SearchOptions, SearchTerms, TableOptions, terms_of
from syft_ext.messages.worker_bounds import check_bounds, describe_bounds

LABEL = CategoryColumn(name="sick", categories=["no", "yes"])


# -- reviews -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("review", "said"),
    [
        ({"state": "none"}, "there is nothing to review yet"),
        ({"state": "pending"}, "its review is not decided yet"),
        ({"state": "approved", "reviewers": ["ann", "bob"]}, "approved by ann, bob"),
        ({"state": "approved", "reviewer_count": 1}, "approved by 1 reviewer whom it does not name"),
        ({"state": "approved", "reviewer_count": 2}, "approved by 2 reviewers whom it does not name"),
        ({"state": "approved"}, "approved, and nobody says by whom"),
        ({"state": "denied"}, "denied by its reviewers"),
        ({"state": "denied", "reviewers": ["ann"]}, "denied by ann"),
        ({"state": "revoked"}, "its approval was revoked by its reviewers"),
        ({"state": "withdrawn"}, "withdrawn by its host"),
        ({"state": "own"}, "its host decides at this Domain themselves"),
        ({"state": "open"}, "the Domain asks nobody for a review"),
    ],
)
def test_whose_word_a_training_runs_on(review: dict[str, Any], said: str) -> None:
    assert describe_review(TrainingReview(**review)) == said


def test_names_of_reviewers_steer_no_terminal_and_are_left_out_for_strangers() -> None:
    review = TrainingReview(state="approved", reviewers=["a\x1b[2J", "b"], reviewer_count=2)
    assert "\x1b" not in describe_review(review)
    assert describe_review(without_names(review)) == "approved by 2 reviewers whom it does not name"


# -- bounds of what leaves a participant ---------------------------------------------------------------


def test_no_bounds_are_said_as_such() -> None:
    assert describe_bounds(None) == describe_bounds(WorkerBounds(min_rows=1))
    assert describe_bounds(None)[1:] == [
        "loss and accuracy, as the plan states them",
        "the number of samples used",
    ]


def test_clipping_alone_leaves_coarse_metrics() -> None:
    lines = "\n".join(describe_bounds(WorkerBounds(clip_norm=0.5)))
    assert "scaled down to L2 norm 0.5" in lines and "to 4 significant digits" in lines
    assert "noise" not in lines


def test_noise_is_said_with_its_cost_alone_and_in_all() -> None:
    bounds = WorkerBounds(clip_norm=2.0, noise_multiplier=5.0, max_reports=10, min_rows=20, max_samples=100)
    text = "\n".join(describe_bounds(bounds))
    assert "noise of deviation 10 (a report costs 0.02 zCDP, of all reports 0.2," in text
    assert "loss and accuracy stay here" in text and "significant" not in text
    assert "fewer than 20 rows" in text and "or 100 where it is more" in text
    assert "at most 10 reports" in text
    assert "of all reports" not in "\n".join(
        describe_bounds(WorkerBounds(clip_norm=2.0, noise_multiplier=5.0))
    )


@pytest.mark.parametrize(
    ("bounds", "field"),
    [
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"clip_norm": math.nan}, "clip_norm"),
        ({"clip_norm": math.inf}, "clip_norm"),
        ({"noise_multiplier": 1.0}, "noise_multiplier"),
        ({"clip_norm": 1.0, "noise_multiplier": 1e-7}, "noise_multiplier"),
        ({"clip_norm": 1.0, "noise_multiplier": math.nan}, "noise_multiplier"),
        ({"min_rows": 0}, "min_rows"),
        ({"max_samples": 0}, "max_samples"),
        ({"max_reports": -1}, "max_reports"),
    ],
)
def test_bounds_that_cannot_be_held_are_refused(bounds: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidConfig, match=field if field != "noise_multiplier" else "noise") as caught:
        check_bounds(WorkerBounds(**bounds))
    assert caught.value.extra["field"] == field


def test_bounds_that_can_be_held_are_taken_as_they_are() -> None:
    for bounds in (
        WorkerBounds(),
        WorkerBounds(clip_norm=1.0, noise_multiplier=1e-6, min_rows=1, max_reports=1),
    ):
        assert check_bounds(bounds) is bounds


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_metric_keeps_four_digits_and_no_more(value: float) -> None:
    found = coarse(value)
    if math.isnan(value):
        assert found is None
        return
    assert found is not None and coarse(found) == found and abs(found) <= 1e6
    assert found == 0 or (found < 0) == (value < 0)
    if 1e-6 <= abs(value) < 1e6:
        assert abs(found - value) <= 0.0005 * abs(value)
        assert len(f"{found:.15e}".split("e")[0].replace("-", "").replace(".", "").rstrip("0")) <= 4
    elif abs(value) < 1e-6:
        assert found == 0.0


def test_no_metric_is_none() -> None:
    assert coarse(None) is None


# -- what a training takes -----------------------------------------------------------------------------


def test_what_a_table_has_to_hold_is_said_column_by_column() -> None:
    columns = [
        NumberColumn(
            name="age", whole=True, unit="a", low=0, high=120, outside="drop", missing="drop",
            centre=50, scale=20, description="at admission",
        ),
        NumberColumn(name="pressure", low=1, scaling="by-site"),
        NumberColumn(name="pulse", high=300),
        CategoryColumn(name="ward", categories=["a", "b", "c"], one_hot=True, missing="drop"),
    ]  # fmt: skip
    inputs = TableInputs(columns=columns, label=LABEL)
    assert inputs.sample_shape == [6]
    assert describe_inputs(inputs) == [
        "column 0: 'age', whole numbers, in a, from 0 to 120 (rows beyond are left out), "
        "given to the model as (number - 50) / 20, rows without it are left out, at admission",
        "column 1: 'pressure', numbers, from 1, scaled by each site's own mean and deviation",
        "column 2: 'pulse', numbers, to 300",
        "column 3: 'ward', one of 0 = 'a', 1 = 'b', 2 = 'c', as 0 and 1 for each, rows without it are left out",
        "label: 'sick', one of 0 = 'no', 1 = 'yes'",
    ]


def test_what_arrays_have_to_be_is_said() -> None:
    pictures = ArrayInputs(shape=[3, 28, 29], label=LABEL, picture=True, bits=16, centre=[0.5], scale=[0.25])
    assert pictures.sample_shape == [3, 28, 29]
    assert describe_inputs(pictures)[0] == (
        "pictures of 16 bits, 3 channels, 28 × 29, given to the model as (number - [0.5]) / [0.25]"
    )
    grey = ArrayInputs(shape=[28, 29], label=LABEL, picture=True)
    assert describe_inputs(grey)[0] == "pictures of 8 bits, 1 channels, 28 × 29"
    signal = ArrayInputs(
        name="ecg", shape=[12], label=LABEL, whole=True, unit="mV", low=-5, description="leads"
    )
    assert describe_inputs(signal)[0] == "array 'ecg', whole numbers [12], in mV, from -5, leads"


def test_a_training_that_declares_nothing_is_called_so() -> None:
    assert describe_inputs(None) == [
        "it declares nothing of the data that it takes: columns and classes cannot be compared"
    ]


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        (NumberColumn, {"name": "x", "scale": 0.0}, "scale"),
        (NumberColumn, {"name": "x", "centre": math.inf}, "finite"),
        (NumberColumn, {"name": "x", "high": math.nan}, "finite"),
        (NumberColumn, {"name": "x", "low": 2, "high": 1}, "low is more than high"),
        (NumberColumn, {"name": "x", "scaling": "by-site", "scale": 2.0}, "takes no centre and no scale"),
        (CategoryColumn, {"name": "x", "categories": ["a", "a"]}, "named twice"),
        (ArrayInputs, {"shape": [3, 2], "label": LABEL, "scale": [1.0, 1.0]}, "one number, or 3"),
        (ArrayInputs, {"shape": [3, 2], "label": LABEL, "scale": [-1.0]}, "more than zero"),
        (
            TableInputs,
            {
                "columns": [LABEL],
                "label": CategoryColumn(name="y", categories=["a", "b"], one_hot=True),
            },
            "given as the place of its class",
        ),
    ],
)
def test_a_declaration_that_says_nothing_sensible_is_refused(
    kind: Any, fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        kind(**fields)


def test_whole_and_decimal_numbers_declare_the_same() -> None:
    whole, decimal = NumberColumn(name="x", low=1, centre=2), NumberColumn(name="x", low=1.0, centre=2.0)
    assert msgspec.json.encode(whole) == msgspec.json.encode(decimal)


# -- plans ---------------------------------------------------------------------------------------------


def test_what_a_plan_costs_and_what_trials_found() -> None:
    cost = PlanCost(operations=3, flops=2_000_000, peak_bytes=4096, output_bytes=1234)
    assert str(cost).startswith("3 operations, ") and str(cost).endswith("results 1,234 bytes")
    influence = {
        "role": "result", "rows": 8, "alone": 2, "changes": 16, "rank": 3, "resolution": 0.25,
        "told_apart": 0.5, "magnitude": 12.3,
    }  # fmt: skip
    verdicts = get_args(Verdict)
    lines = set()
    for verdict in verdicts:
        line = str(RowInfluence(output="mean", verdict=verdict, **influence))  # type: ignore[arg-type]
        assert line.startswith("mean: ") and "alone 2 of 8 rows, rank 3 of 16" in line and "0.25" in line
        lines.add(line)
    assert len(lines) == len(verdicts), "each verdict has words of its own"
    together = RowInfluence(output="", verdict=verdicts[0], **influence)  # type: ignore[arg-type]
    assert str(together).startswith("all results together: ")

    tried = TrialOfRows(inputs=["x", "y"], rows=8, results=[together])
    assert str(tried).splitlines()[1] == f"  {together}" and "8 " in str(tried).splitlines()[0]
    failed = TrialOfRows(inputs=["x"], rows=8, made="data", problem="it needs ten")
    assert str(failed).endswith("not possible: it needs ten") and "\n" not in str(failed)
    trials = PlanInfluence(request_id="r", plan_id="p", trials=[tried, failed])
    assert str(trials) == f"{tried}\n{failed}"
    assert str(PlanInfluence(request_id="r", plan_id="p", trials=[])) == "no input has rows"


# -- small ones ----------------------------------------------------------------------------------------


def test_a_key_is_proven_to_one_node_for_one_user_at_one_time() -> None:
    proofs = {
        key_proof(node, user, key, at)
        for node in ("n", "m")
        for user in ("u", "v")
        for key in ("k", "l")
        for at in (1.0, 2.0)
    }
    assert len(proofs) == 16


def test_the_terms_of_a_search_are_its_fields() -> None:
    terms = terms_of(SearchOptions(name="ward", min_rows=3, kind="dataset"))
    assert SearchTerms(**terms) == SearchTerms(name="ward", min_rows=3)


def test_options_of_a_file_are_usual_until_one_is_told() -> None:
    assert TableOptions().usual
    for told in ({"decimal": ","}, {"missing": ["-"]}, {"encoding": "latin-1"}):
        assert not TableOptions(**told).usual  # type: ignore[arg-type]


def test_a_word_has_one_number_of_64_bits() -> None:
    assert Levels(codes=[None, None, 1, -(1 << 63)]).codes[3] == -(1 << 63)
    with pytest.raises(ValueError, match="stands for one word"):
        Levels(codes=[1, None, 1])
    with pytest.raises(ValueError, match="of 64 bits"):
        Levels(codes=[0, 1 << 63])


def test_one_content_has_one_digest_under_every_name() -> None:
    def facts(name: str, version: str, rate: float) -> DefinitionFacts:
        config = {"name": name, "version": version, "lr": rate}
        return DefinitionFacts(
            name=name, version=version, plans={"p": "d"}, client_config=config, model="m", tensors=[]
        )

    first, renamed, other = facts("a", "1", 0.1), facts("b", "2", 0.1), facts("a", "1", 0.2)
    assert content_digest(first) == content_digest(renamed) != content_digest(other)
    assert definition_digest(first) != definition_digest(renamed)
    assert first.client_config["name"] == "a", "it is left as it was"


def test_the_files_of_a_training_are_all_that_was_hosted_to_run() -> None:
    facts = TrainingFacts(process_id="p", name="a", version="1", digest="x", plans={"train": "d"})
    assert facts.files() == ["d"]
    more = msgspec.structs.replace(facts, protocols={"sum": "e"}, averaging_plan="f")
    assert more.files() == ["d", "e", "f"]
