"""The index of what is published finds what looking through every text would find."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from grid.catalogue.published_index import _Index, _Indexed
from syft_ext.messages.datasets import SearchEntry
from syft_ext.store.objects import fold

# Few letters, so that words are parts of one another; and all that separates words.
TEXTS = st.lists(st.text(alphabet="abß é \n\t\u2003\x1c-", max_size=30), max_size=12)
WORDS = st.text(alphabet="abß é-", min_size=1, max_size=4)


def indexed(number: int, text: str) -> _Indexed:
    entry = SearchEntry(
        kind="dataset", id=str(number), name="", description="", tags=[], created_at=0.0, details={}
    )
    return _Indexed(SimpleNamespace(), fold(text), entry, frozenset(), frozenset())


@given(texts=TEXTS, query=WORDS)
def test_a_word_is_found_wherever_it_occurs(texts: list[str], query: str) -> None:
    datasets = [indexed(number, text) for number, text in enumerate(texts)]
    index = _Index(datasets)
    for word in fold(query).split():
        expected = [each for each in datasets if word in each.text]
        assert [each.entry.id for each in index.with_word(word)] == [each.entry.id for each in expected]
