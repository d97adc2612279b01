"""What is said of a name that is not known."""

from __future__ import annotations

import pytest

from offhook.domain.nearest import unknown_name


@pytest.mark.parametrize(
    ("name", "known", "advice"),
    [
        ("detial", ["name", "detail"], "The nearest one is detail."),
        ("foo", ["token"], "There is token."),
        ("status", ["page_size", "page_token"], "There is page_size and page_token."),
        ("foo", [], "None is taken here."),
        ("foo", [f"zz{number}" for number in range(20)], "None is like it."),
    ],
)
def test_the_nearest_name_is_one_that_is_like_it(name: str, known: list[str], advice: str) -> None:
    assert unknown_name("field", name, known).message.endswith(advice)
