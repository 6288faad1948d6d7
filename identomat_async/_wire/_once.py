"""What may serve once only, or an answer could be that to another question."""

from weakref import WeakValueDictionary


class Once:
    """Knows again what came up before, for as long as it exists and if it can be known."""

    def __init__(self) -> None:
        self._known = WeakValueDictionary[int, object]()

    def is_new(self, thing: object) -> bool:
        """Tell whether *thing* has not come up before; the next time it has."""
        if self._known.get(id(thing)) is thing:
            return False
        if hasattr(thing, "__weakref__"):
            self._known[id(thing)] = thing
        return True
