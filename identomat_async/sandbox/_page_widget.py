"""The page of one session: its steps, and what becomes of what the person does."""

from collections.abc import Mapping
from urllib.parse import quote

import attrs
from markupsafe import Markup

from identomat_async.sandbox._documents import document_type
from identomat_async.sandbox._page_answers import FOR_PERSON, Asked, asked_in, language_of
from identomat_async.sandbox._page_text import Words, is_web_address, safe_html, words
from identomat_async.sandbox._people import Invented
from identomat_async.sandbox._setup import QUESTIONNAIRES, Setup

# What the redirects of common web frameworks leave as it is; a line break is not among it.
_URL = ":/%#?=@[]!$&'()*+,;"
_DOCUMENTS = {
    "id": "Identity card",
    "passport": "Passport",
    "driver_license": "Driving licence",
    "residence_license": "Residence permit",
}
_DOCUMENT = "identity-document"
_FACE = "liveness"


@attrs.frozen(kw_only=True)
class Card:
    """
    One step, as the page shows it.

    Attributes:
        kind: ``"document"``, ``"face"``, ``"questions"``, or ``"other"``.
        title: Its heading.
        description: What the company says about it.
        tag: The language of *description*.
        facts: What the sandbox has captured: names and values.
        questions: What the person has to answer.
    """

    kind: str
    title: Words
    description: Markup = attrs.field(factory=Markup)
    tag: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    questions: tuple[Asked, ...] = ()


def cards_of(setup: Setup, person: Invented) -> tuple[Card, ...]:
    """
    Lay out what a session asks of its person, in the order in which it is asked.

    The steps that come by default stand before those that were sent.
    """
    kinds = {step.get("type") for step in setup.steps}
    cards: list[Card] = []
    if setup.asks_document and _DOCUMENT not in kinds:
        cards.append(_card({"type": _DOCUMENT}, setup, person))
    if setup.asks_face and _FACE not in kinds:
        cards.append(_card({"type": _FACE}, setup, person))
    cards += _by_flags(setup, person)
    number = 0
    for step in setup.steps:
        if step.get("type") not in QUESTIONNAIRES:
            cards.append(_card(step, setup, person))
            continue
        if step.get("type") in FOR_PERSON:
            cards.append(_questions(step, number, setup))
        number += 1
    return tuple(cards)


def asks_for_terms(setup: Setup) -> bool:
    """Whether the person has to agree to terms first."""
    return not setup.flags.get("skip_agreement")


def way_back(setup: Setup) -> str | None:
    """
    Return the address to which the person goes in the end; None if there is none.

    Only web addresses count: any other could make a browser run what it names.
    """
    url = setup.flags.get("return_url")
    if not isinstance(url, str) or not is_web_address(url.strip()):
        return None
    return quote(url.strip(), safe=_URL)


def _card(step: Mapping[str, object], setup: Setup, person: Invented) -> Card:
    kind = step.get("type")
    if kind == _DOCUMENT:
        shown = document_type(setup, person)
        name = _DOCUMENTS.get(shown, shown)
        facts = (("Document", name), ("Name", person.name), ("Number", person.document_number))
        return _told(
            Card(kind="document", title=Words("Identity document"), facts=facts), step, setup
        )
    if kind == _FACE:
        said = "Alive, and the same person" if setup.asks_liveness else "The same person"
        card = Card(kind="face", title=Words("Face"), facts=(("Camera", said),))
        return _told(card, step, setup)
    return _told(Card(kind="other", title=Words(str(kind))), step, setup)


def _questions(step: Mapping[str, object], number: int, setup: Setup) -> Card:
    card = Card(kind="questions", title=Words("Questions"), questions=asked_in(setup, number))
    return _told(card, step, setup)


def _told(card: Card, step: Mapping[str, object], setup: Setup) -> Card:
    """Add what the company says about a step itself."""
    language = language_of(setup)
    title = words(step.get("title"), language)
    description = words(step.get("description"), language)
    return attrs.evolve(
        card,
        title=title if title.text else card.title,
        description=safe_html(description.text),
        tag=description.tag,
    )


def _by_flags(setup: Setup, person: Invented) -> list[Card]:
    cards = [
        Card(kind="other", title=Words(kind.replace("_", " ").capitalize()))
        for kind in setup.general_document_types
    ]
    if setup.asks_for("email"):
        cards.append(_noted("E-mail", "Address", person.email))
    if setup.asks_for("phone_number"):
        cards.append(_noted("Phone", "Number", person.phone))
    return cards


def _noted(title: str, name: str, value: str) -> Card:
    return Card(kind="other", title=Words(title), facts=((name, value),))
