"""What the command line reads: lines of tokens, and spans of time."""

import io

import pytest

from identomat_async._cli._durations import seconds_of, short
from identomat_async._cli._tokens import Item, lines_of, parse_line
from identomat_async.errors import ConfigurationError


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ("", None),
        ("  # note", None),
        (" abc ", Item(token="abc")),
        ("abc  Anna Example\n", Item(token="abc", reference="Anna Example")),
        ('{"token": "abc", "other": 1}', Item(token="abc")),
    ],
)
def test_a_line_is_a_token_and_a_reference(line: str, item: Item | None) -> None:
    assert parse_line(line) == item


@pytest.mark.parametrize(
    "line",
    [
        *("ö", "a" * 257, "{", "{}", '{"token": 1}', '{"token": "a", "reference": 1}'),
        *('{"token": "a", "begun": "yesterday"}', '{"token": "a", "begun": 7}', "{" * 100_000),
    ],
    ids=range(9),
)
def test_other_lines_are_refused_without_being_repeated(line: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_line(line)

    assert line not in str(raised.value)


class Pieces(io.BytesIO):
    """A file that has a few bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 3, 3))


async def test_lines_are_put_together_from_what_comes() -> None:
    lines = [line async for batch in lines_of(Pieces(b"ab\ncdefgh\n\nij")) for line in batch]

    assert lines == [b"ab", b"cdefgh", b"", b"ij"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("2H", 7200), ("3d", 259200), (7.5, 7.5)],
)
def test_spans_of_time_are_read(text: str | float, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-1", "1w", "nan", "inf", "367d", "1 m", "٣"])
def test_what_is_no_span_of_time_is_none(text: str) -> None:
    assert seconds_of(text) is None


def test_spans_of_time_are_written() -> None:
    assert [short(each) for each in (-1, 8.9, 125, 3725)] == ["0 s", "8 s", "2:05", "1:02:05"]
