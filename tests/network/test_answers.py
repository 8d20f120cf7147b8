"""The memory of what Domains answered."""

from __future__ import annotations

from grid.network.answers import SMALL, Answers, Remembered


def answer(name: str, size: int = SMALL) -> Remembered[str]:
    return Remembered(name.encode(), [name], size)


def test_the_last_answer_to_each_query_is_known() -> None:
    answers: Answers[str] = Answers()
    answers.put("d", b"q", answer("old"))
    answers.put("d", b"q", answer("new"))
    answers.put("d", b"r", answer("other"))
    known = answers.get("d", b"q")
    assert known is not None
    assert known.entries == ["new"]
    assert answers.get("e", b"q") is None


def test_small_huge_and_nameless_answers_are_not_kept_and_replace_what_was() -> None:
    for bad in (answer("small", SMALL - 1), answer("huge", 10 * SMALL + 1), answer("")):
        answers: Answers[str] = Answers(10 * SMALL)
        answers.put("d", b"q", answer("old"))
        answers.put("d", b"q", bad)
        assert answers.get("d", b"q") is None


def test_the_least_recently_used_are_forgotten() -> None:
    answers: Answers[str] = Answers(3 * SMALL)
    for name in "abc":
        answers.put(name, b"q", answer(name))
    answers.get("a", b"q")
    answers.put("d", b"q", answer("d"))
    assert [name for name in "abcd" if answers.get(name, b"q")] == ["a", "c", "d"]
    answers.put("e", b"q", answer("e", 3 * SMALL))
    assert [name for name in "abcde" if answers.get(name, b"q")] == ["e"]
