"""Flags: what is sent, and what is refused before anything is."""

import enum
import inspect
import json
import pickle
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from identomat_async._model._encode import encode_flags
from identomat_async._model._flags import Flags
from identomat_async.errors import ConfigurationError

CANARY = "Anna-Canary"
URLS = ["return_url", "switch_device_url"]
LISTS = ["document_types", "document_countries", "general_document_types"]
NAMES = [field.name for field in attrs.fields(Flags) if field.name != "extra"]
SWITCHES = [name for name in NAMES if name not in {*URLS, *LISTS, "language"}]


class Country(enum.Enum):
    GEORGIA = "GEO"


class Language(str, enum.Enum):  # noqa: UP042 - users still have these
    GEORGIAN = "ka"


def test_there_are_the_27_documented_flags() -> None:
    assert len(NAMES) == 27
    assert len(SWITCHES) == 21
    assert "requireHdMedia" in NAMES


def test_every_flag_is_documented() -> None:
    for name in NAMES:
        assert f"\n    {name}: " in (inspect.getdoc(Flags) or "")


def test_nothing_is_sent_that_was_not_set() -> None:
    assert encode_flags(Flags()) == {}
    assert encode_flags({}) == {}


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", [True, False])
def test_a_switch_is_sent_under_its_own_name(name: str, value: Any) -> None:
    assert encode_flags(Flags(**{name: value})) == {name: value}


def test_every_other_flag_is_sent_as_it_is() -> None:
    flags = Flags(
        return_url="shop://done?user=1",
        switch_device_url="",
        language="ka",
        document_types=["id", "passport"],
        document_countries=("GEO",),
        general_document_types=[],
        extra={"skip_agreement": True, "server": None, "nested": {"a": (1, 2.5)}},
    )

    encoded = encode_flags(flags)

    assert encoded == {
        "return_url": "shop://done?user=1",
        "switch_device_url": "",
        "language": "ka",
        "document_types": ["id", "passport"],
        "document_countries": ["GEO"],
        "general_document_types": [],
        "skip_agreement": True,
        "server": None,
        "nested": {"a": [1, 2.5]},
    }
    assert json.loads(json.dumps(encoded)) == encoded


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["yes", "true", 1, 0, 1.0, [], {}])
def test_a_switch_must_be_a_bool(name: str, value: Any) -> None:
    for make in (lambda: Flags(**{name: value}), lambda: encode_flags({name: value})):
        with pytest.raises(ConfigurationError, match=f"{name} must be True or False"):
            make()


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("value", ["passport", [1], [""], ["a\n"], {"id": 1}, True, 5])
def test_a_list_must_be_a_list_of_texts(name: str, value: Any) -> None:
    for make in (lambda: Flags(**{name: value}), lambda: encode_flags({name: value})):
        with pytest.raises(ConfigurationError, match=f"{name} must be a list of texts"):
            make()


@pytest.mark.parametrize("name", [*URLS, "language"])
@pytest.mark.parametrize("value", [5, True, ["x"], b"x"])
def test_a_text_must_be_a_text(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a text"):
        Flags(**{name: value})


@pytest.mark.parametrize("name", [*URLS, "language"])
@pytest.mark.parametrize("end", [" ", "\n", "\r\n", "\x00", "\x7f", "\u2028", "\u00a0", "\ud800"])
def test_a_url_has_no_space_and_no_control_character(name: str, end: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as caught:
        Flags(**{name: f"https://shop.example/{CANARY}{end}x"})  # type: ignore[arg-type]

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["https://shop.example/d?a=%20#f", "http://127.0.0.1/", "app://done", "https://ანა.example/"],
)
def test_urls_and_deep_links_are_taken(url: str) -> None:
    assert encode_flags(Flags(return_url=url)) == {"return_url": url}


@pytest.mark.parametrize(
    "others",
    [{}, {"allow_general_document_capture": False, "allow_general_document_upload": False}],
)
def test_general_document_types_need_a_way_to_give_them(others: Any) -> None:
    flags = {"general_document_types": ["utility_bill"], **others}

    for make in (lambda: Flags(**flags), lambda: encode_flags(flags)):
        with pytest.raises(ConfigurationError, match="allow_general_document_upload=True"):
            make()


@pytest.mark.parametrize("way", ["allow_general_document_capture", "allow_general_document_upload"])
def test_either_way_to_give_general_documents_will_do(way: str) -> None:
    flags: dict[str, Any] = {"general_document_types": ["utility_bill"], way: True}

    assert encode_flags(Flags(**flags)) == encode_flags(flags) == flags


@pytest.mark.parametrize("name", NAMES)
def test_extra_does_not_hold_a_documented_flag(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Flags\({name}="):
        Flags(extra={name: True})


def test_a_mapping_passes_through_with_unknown_flags_and_nulls() -> None:
    flags = {"liveness": None, "skip_agreement": True, "language": Language.GEORGIAN}

    encoded = encode_flags(flags)

    assert encoded == {"liveness": None, "skip_agreement": True, "language": "ka"}
    assert type(encoded["language"]) is str


NOT_SENDABLE = [
    pytest.param(object(), id="object"),
    pytest.param(Country.GEORGIA, id="enum"),
    pytest.param(CANARY.encode(), id="bytes"),
    pytest.param({CANARY}, id="set"),
    pytest.param(float("nan"), id="nan"),
    pytest.param(float("inf"), id="infinity"),
    pytest.param(CANARY + "\ud800", id="half-a-character"),
    pytest.param([[CANARY, object()]], id="nested"),
    pytest.param({"deep": {1: CANARY}}, id="number-as-name"),
    pytest.param({"deep": {CANARY + "\udc00": 1}}, id="half-a-character-in-name"),
]


@pytest.mark.parametrize("value", NOT_SENDABLE)
def test_what_json_cannot_say_is_refused_by_name(value: object) -> None:
    for make in (lambda: Flags(extra={"strange": value}), lambda: encode_flags({"strange": value})):
        with pytest.raises(ConfigurationError, match="strange") as caught:
            make()
        assert CANARY not in str(caught.value)


def test_a_mapping_that_holds_itself_is_refused() -> None:
    loop: dict[str, object] = {}
    loop["loop"] = loop

    with pytest.raises(ConfigurationError, match="to a depth of 64"):
        encode_flags(loop)


def test_names_must_be_texts() -> None:
    flags: Any = {1: True}

    with pytest.raises(ConfigurationError, match="every name in it must be a text"):
        encode_flags(flags)


@pytest.mark.parametrize("value", ["liveness", 5, ["liveness"], None])
def test_flags_must_be_flags(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"must be Flags\(...\) or a mapping"):
        encode_flags(value)
    with pytest.raises(ConfigurationError, match="extra must be a mapping"):
        Flags(extra=value)


def test_flags_do_not_change_with_what_they_were_made_of() -> None:
    types, extra = ["id"], {"a": [1]}
    flags = Flags(document_types=types, extra=extra)

    types.append("passport")
    extra["a"].append(2)

    assert encode_flags(flags) == {"document_types": ["id"], "a": [1]}
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        flags.liveness = True  # type: ignore[misc]


def test_equal_flags_are_equal_and_travel() -> None:
    flags = Flags(liveness=True, document_types=["id"], extra={"a": [1]})

    assert flags == Flags(liveness=True, document_types=("id",), extra={"a": [1]})
    assert hash(flags) == hash(Flags(liveness=True, document_types=("id",), extra={"a": [1]}))
    assert pickle.loads(pickle.dumps(flags)) == flags  # noqa: S301 - made here
    assert isinstance(flags.extra, Mapping)


def test_the_repr_shows_what_is_set_and_nothing_personal() -> None:
    flags = Flags(return_url=f"https://x.example/{CANARY}", liveness=True, extra={CANARY: CANARY})

    assert repr(flags) == "Flags(return_url=<hidden>, liveness=True, extra=<1 members>)"
    assert repr(Flags()) == "Flags()"


def test_flags_that_are_only_half_made_can_be_shown() -> None:
    # As those are that were refused, to somebody who looks into the frames of it.
    assert repr(Flags.__new__(Flags)) == "Flags()"
