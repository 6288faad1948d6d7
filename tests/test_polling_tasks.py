"""What a task group of ours raises."""

import anyio
import pytest

from identomat_async._polling._tasks import task_group


async def fail(error: BaseException) -> None:
    raise error


async def test_one_failing_task_raises_as_itself():
    error = KeyError("task")

    with pytest.raises(KeyError) as caught:
        async with task_group() as tasks:
            tasks.start_soon(fail, error)

    assert caught.value is error


async def test_the_failure_of_the_body_comes_first_and_none_is_lost():
    async def body() -> None:
        async with task_group() as tasks:
            tasks.start_soon(fail, KeyError("task"))
            try:
                await anyio.sleep_forever()
            finally:
                raise ValueError("body")

    with pytest.raises(BaseExceptionGroup) as caught:
        await body()

    assert [type(error) for error in caught.value.exceptions] == [ValueError, KeyError]


async def test_a_cancel_from_outside_passes():
    with anyio.move_on_after(1) as scope:
        async with task_group():
            await anyio.sleep_forever()

    assert scope.cancelled_caught
