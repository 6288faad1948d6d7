"""
Verify one person from a script: the evidence is saved, and the session deleted.

It is kept while an operator looks at it, and while the person may still come.

python -m examples.script FOLDER
"""

import sys
from pathlib import Path

import anyio

from identomat_async import Flags, IdentomatClient, Media, SessionStatus, WaitTimeoutError


async def verify(client: IdentomatClient, folder: Path) -> int:
    """Return 0 if the person is approved, 1 if not, 2 if there is no verdict yet."""
    token = await client.begin(Flags(liveness=True))
    print("Send the person to", client.widget_url(token), flush=True)
    try:
        result = await client.wait(token, deadline=1800)
    except WaitTimeoutError:
        print("nobody was verified within half an hour; the session stays")
        return 2
    if result.status is SessionStatus.MANUAL_CHECK:
        print("an operator has to decide; the session stays until then")
        return 2
    if result.status.is_approved:
        folder.mkdir(parents=True, exist_ok=True)
        await client.save_media(token, Media.FACE, folder / "face.jpg")
    # When the evidence is safe with you, and not before.
    await client.delete(token)
    print("verdict:", result.status)
    return 0 if result.status.is_approved else 1


async def main(folder: Path) -> int:
    """Verify one person with the account that the environment names."""
    async with IdentomatClient.from_env() as client:
        return await verify(client, folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - itself, and the folder
        sys.exit("usage: python -m examples.script FOLDER")
    sys.exit(anyio.run(main, Path(sys.argv[1])))
