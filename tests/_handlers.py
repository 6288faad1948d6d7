"""What a poller hands its outcomes to."""

from identomat_async import Delivery


class Handler:
    """Keeps what it is given; raises as long as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.taken: list[Delivery] = []

    async def __call__(self, delivery: Delivery) -> None:
        self.taken.append(delivery)
        if self.failures:
            self.failures -= 1
            raise LookupError("the database is away")

    @property
    def tokens(self) -> list[str]:
        return [delivery.token for delivery in self.taken]
