"""Texts that come with a session: in which language, and how Markdown becomes safe HTML."""

import re
from collections.abc import Mapping, Sequence
from typing import cast

import attrs
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

# The service's own code for Greek is no code of a language elsewhere.
_TAGS = {"gr": "el"}
# Those in which the service's own page speaks.
_KNOWN = frozenset(
    "ar az bn de el en es fr hi it ja ka kk pl pt ro ru sv tr uk uz".split()  # noqa: SIM905  # reads best as words
)
_WEB = re.compile(r"https?://[^\s/]", re.IGNORECASE)


@attrs.frozen
class Words:
    """
    A text and its language.

    Attributes:
        text: The text; empty if there is none.
        tag: What a browser calls its language; empty if that is not known.
    """

    text: str
    tag: str = ""


def words(value: object, language: str) -> Words:
    """
    Choose the text for a person: theirs, else English, else the first there is.

    Args:
        value: A text, or an object of languages to texts. Anything else is no text.
        language: The session's language, such as ``"ka"``.
    """
    if isinstance(value, str):
        return Words(value)
    texts = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    found = {name: text for name, text in texts.items() if isinstance(text, str) and text}
    wanted = (language, language.partition("-")[0], "en", *found)
    chosen = next((name for name in wanted if name in found), None)
    return Words("") if chosen is None else Words(found[chosen], _tag(chosen))


def is_web_address(text: str) -> bool:
    """Whether a browser may be sent there: http or https, and nothing else."""
    return _WEB.match(text) is not None


def safe_html(markdown: str) -> Markup:
    """
    Turn Markdown into HTML that can do nothing but be read and lead to web pages.

    Args:
        markdown: Anybody's text; HTML in it is shown as it was typed.
    """
    return Markup(_MARKDOWN.render(markdown))  # noqa: S704  # written by a parser that escapes all text


def _tag(language: str) -> str:
    base = language.partition("-")[0].lower()
    tag = _TAGS.get(base, base)
    return tag if tag in _KNOWN else ""


def _link(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    tokens[index].attrs |= {"target": "_blank", "rel": "noopener noreferrer"}
    return renderer.renderToken(tokens, index, options, env)


def _heading(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    # The page has headings of its own, and these stand below them.
    tokens[index].tag = "h3"
    return renderer.renderToken(tokens, index, options, env)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    parser.validateLink = is_web_address  # type: ignore[assignment,method-assign]
    rules: Mapping[str, object] = {
        "link_open": _link,
        "heading_open": _heading,
        "heading_close": _heading,
    }
    for name, rule in rules.items():
        parser.add_render_rule(name, rule)  # type: ignore[arg-type]
    return parser


_MARKDOWN = _parser()
