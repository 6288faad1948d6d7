"""Texts of a session: the language that is chosen, and Markdown that can do no harm."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identomat_async.sandbox._page_text import Words, is_web_address, safe_html, words

TEXTS = {"fr": "Travail", "en": "Work", "ka": "სამუშაო", "gr": "Εργασία"}
ALLOWED = re.compile(
    r"</?(p|strong|em|ul|ol|li|h3|code|blockquote|hr|br)( /)?>|<ol start=\"\d+\">"
    r"|<pre>|</pre>|<code class=\"language-[^\"<>]*\">|</a>"
    r'|<a href="https?://[^"<>]*"( title="[^"<>]*")? target="_blank" rel="noopener noreferrer">',
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    ("value", "language", "chosen"),
    [
        pytest.param("Work", "ka", Words("Work"), id="one-for-all"),
        pytest.param(TEXTS, "ka", Words("სამუშაო", "ka"), id="theirs"),
        pytest.param(TEXTS, "fr-CA", Words("Travail", "fr"), id="theirs-without-the-country"),
        pytest.param(TEXTS, "gr", Words("Εργασία", "el"), id="a-code-of-the-service-alone"),
        pytest.param(TEXTS, "sv", Words("Work", "en"), id="english-instead"),
        pytest.param({"fr": "Travail", "ka": "x"}, "sv", Words("Travail", "fr"), id="the-first"),
        pytest.param({"xx": "?"}, "sv", Words("?"), id="a-language-nobody-knows"),
        pytest.param({"en": 3, "ka": ""}, "ka", Words(""), id="no-text-at-all"),
        pytest.param(None, "en", Words(""), id="nothing"),
        pytest.param(["Work"], "en", Words(""), id="something-else"),
    ],
)
def test_the_text_is_that_of_the_session_s_language(
    value: object, language: str, chosen: Words
) -> None:
    assert words(value, language) == chosen


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("Answer **all** of *it*.", "<p>Answer <strong>all</strong> of <em>it</em>.</p>\n"),
        ("- one\n- two", "<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n"),
        ("# Why\n\nand\n\nHow\n---", "<h3>Why</h3>\n<p>and</p>\n<h3>How</h3>\n"),
        (
            "[us](https://example.org/?a=1&b=2)",
            (
                '<p><a href="https://example.org/?a=1&amp;b=2" target="_blank"'
                ' rel="noopener noreferrer">us</a></p>\n'
            ),
        ),
        ("<b>bold</b>", "<p>&lt;b&gt;bold&lt;/b&gt;</p>\n"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
        ("[x](/sessions)", "<p>[x](/sessions)</p>\n"),
        ("<data:text/html,x>", "<p>&lt;data:text/html,x&gt;</p>\n"),
    ],
)
def test_markdown_becomes_html_that_can_only_be_read(markdown: str, html: str) -> None:
    assert safe_html(markdown) == html


def test_no_picture_is_fetched() -> None:
    assert "<img" not in safe_html("![spy](https://example.org/pixel.png)")


@given(
    st.lists(
        st.sampled_from(
            [*"<>\"'&`*_#[]()!:/\\\n -1.xX=", "javascript:", "http://", "<script>", "onload="]
        ),
        max_size=40,
    )
)
def test_whatever_is_written_no_other_tag_comes_of_it(pieces: list[str]) -> None:
    left = ALLOWED.sub("", safe_html("".join(pieces)))

    assert "<" not in left
    assert ">" not in left


@pytest.mark.parametrize(
    ("text", "leads"),
    [
        ("https://shop.example/done", True),
        ("HTTP://localhost:8000", True),
        ("javascript:alert(1)", False),
        ("//shop.example", False),
        ("https:///", False),
        ("shop.example", False),
        ("", False),
    ],
)
def test_only_web_addresses_lead_anywhere(text: str, leads: bool) -> None:
    assert is_web_address(text) is leads
