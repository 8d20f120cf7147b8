"""Standing rules at a Domain (``domain.requests.rules``): your word on requests that are yet to come."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from syft_ext.client.listing import Listing
from syft_ext.errors import BadRequest
from syft_ext.messages.misfits import misfit_in_words
from syft_ext.messages.rules import ClearRules, CreateRule, DeleteRule, ListRules, RuleList, RuleView

__all__ = ["Rules"]

_PAGE = 1000
_NO_NAMES: Mapping[str, str] = MappingProxyType({})
_MATCHED = ("kind", "scope", "object_id", "dataset_id", "tags", "user_id", "group_id", "plan_id")


class Rules(Listing[RuleView]):
    """Your standing rules, oldest first; a reviewer sees those of everybody."""

    title = "Standing rules"
    headings = ("action", "matches", "state", "times left", "elements left", "author", "id")

    def _fetch(self) -> list[RuleView]:
        rules: list[RuleView] = []
        while True:
            page: RuleList = self.client.call(ListRules(limit=_PAGE, offset=len(rules)))
            rules += page.rules
            if len(page.rules) < _PAGE:
                return rules

    def create(self, action: Literal["accept", "deny"], **fields: Any) -> RuleView:
        """Make a rule. Raises :class:`BadRequest` for a field that there is not, or that makes no sense."""
        try:
            message = msgspec.convert({"action": action, **fields}, CreateRule)
        except msgspec.ValidationError as error:
            raise BadRequest(f"this is no rule: {misfit_in_words(error, CreateRule)}") from error
        rule: RuleView = self.client.call(message)
        return rule

    def delete(self, rule_id: str) -> None:
        """End a rule; what it approved stays."""
        self.client.call(DeleteRule(rule_id=self.id_of(rule_id)))

    def clear(self) -> None:
        """End all of your rules."""
        self.client.call(ClearRules())

    def key(self, item: RuleView) -> tuple[str, ...]:
        return (item.id,)

    def row(self, item: RuleView, names: Mapping[str, str] = _NO_NAMES) -> tuple[Any, ...]:
        """``names``: what stands for ids of users, groups and datasets."""
        matched = ", ".join(
            f"{name.removesuffix('_id')} {_said(getattr(item, name), names)}"
            for name in _MATCHED
            if getattr(item, name)
        )
        times = "" if item.times_left is None else item.times_left
        elements = "" if item.elements_left is None else item.elements_left
        return (item.action, matched or "anything", item.state, times, elements, item.author, item.id)


def _said(value: str | list[str], names: Mapping[str, str]) -> str:
    return names.get(value, value) if isinstance(value, str) else " and ".join(value)
