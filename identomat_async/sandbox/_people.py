"""The invented person behind a token: always the same one, and nobody else's."""

from hashlib import sha256

import attrs

_FIRST_NAMES = (
    ("Anna", "Анна", "F"),
    ("Boris", "Борис", "M"),
    ("Clara", "Клара", "F"),
    ("David", "Давид", "M"),
    ("Elena", "Елена", "F"),
    ("Felix", "Феликс", "M"),
    ("Greta", "Грета", "F"),
    ("Hugo", "Гуго", "M"),
)
_LAST_NAMES = (
    ("Example", "Экзампл"),
    ("Sample", "Сампл"),
    ("Specimen", "Специмен"),
    ("Placeholder", "Плейсхолдер"),
)
_THIS_YEAR = 2026  # a fixed one, so that a document is the same on every day


@attrs.frozen
class Invented:
    """Somebody who does not exist."""

    first_name: str
    last_name: str
    local_first_name: str
    local_last_name: str
    sex: str
    birth: tuple[int, int, int]
    personal_number: str
    document_number: str
    street_number: int
    dice: bytes

    @property
    def name(self) -> str:
        """The whole name."""
        return f"{self.first_name} {self.last_name}"

    @property
    def age(self) -> int:
        """Years since the birth, roughly."""
        return _THIS_YEAR - self.birth[0]

    @property
    def address(self) -> str:
        """Where nobody lives."""
        return f"{self.street_number} Sample Street, 00001 Sampletown, Utopia"

    @property
    def email(self) -> str:
        """An address at which nobody reads."""
        return f"{self.first_name}.{self.personal_number}@example.org".lower()

    @property
    def phone(self) -> str:
        """A number that nobody has."""
        return f"+1000{self.personal_number[:7]}"

    @property
    def mrz(self) -> str:
        """The three lines of an identity card, without valid check digits."""
        year, month, day = self.birth
        names = f"{self.last_name}<<{self.first_name}".upper()
        lines = (
            f"IDUTO{self.document_number}<{self.personal_number}",
            f"{year % 100:02}{month:02}{day:02}0{self.sex}3107010UTO",
            names,
        )
        return "\n".join(line.ljust(30, "<")[:30] for line in lines)

    def share(self, index: int) -> float:
        """Return a number from 0 up to 1 that is this person's own."""
        return self.dice[index] / 256


def person_of(token: str) -> Invented:
    """
    Invent the person of a session.

    Args:
        token: The session token. Everything about the person follows from it, and it
            cannot be found again from the person.
    """
    dice = sha256(token.encode(errors="replace")).digest()
    first, local_first, sex = _FIRST_NAMES[dice[0] % len(_FIRST_NAMES)]
    last, local_last = _LAST_NAMES[dice[1] % len(_LAST_NAMES)]
    return Invented(
        first_name=first,
        last_name=last,
        local_first_name=local_first,
        local_last_name=local_last,
        sex=sex,
        birth=(1950 + dice[2] % 55, 1 + dice[3] % 12, 1 + dice[4] % 28),
        personal_number=f"{int.from_bytes(dice[8:16]) % 10**14:014}",
        document_number=f"X{int.from_bytes(dice[16:20]) % 10**8:08}",
        street_number=1 + dice[5],
        dice=dice[20:],
    )
