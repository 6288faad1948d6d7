"""The methods of the API, each as one call."""

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from pathlib import Path

from identomat_async._clock import Deadline, Seconds, seconds
from identomat_async._edge import refusing
from identomat_async._model._codec import decode_screening_person
from identomat_async._model._encode import encode_flags, encode_steps
from identomat_async._model._flags import Flags
from identomat_async._model._json import strict_json
from identomat_async._model._media import Media, MediaContent
from identomat_async._model._result import SessionResult
from identomat_async._model._screening import ScreeningPerson
from identomat_async._model._sendable import sendable_members
from identomat_async._model._steps import AnyStep
from identomat_async._model._token import checked_token
from identomat_async._wire._attempts import Call
from identomat_async._wire._call import Caller
from identomat_async._wire._documents import result_of
from identomat_async._wire._files import AtomicFile, SinkError
from identomat_async._wire._protocol import (
    BEGIN,
    DELETE,
    RESULT,
    SCREENING,
    Operation,
    checked_text,
    media_operation,
    other_operation,
    widget_url,
)
from identomat_async._wire._replies import read
from identomat_async._wire._reply import Reply, content_type_of
from identomat_async._wire._scoped import Keep, ScopedSession, may_be_under_review
from identomat_async._wire._tokens import decode_token
from identomat_async.errors import ConfigurationError, SessionNotFoundError


class Methods:
    """
    The methods of the API.

    What a caller passes is deleted from each frame as soon as it is part of the call: an
    error that is raised later keeps the frame, and an error tracker sends what is in it.
    """

    def __init__(self, caller: Caller, *, widget_origin: str) -> None:
        self._caller = caller
        self._widget_origin = widget_origin

    @refusing
    def widget_url(self, token: str) -> str:
        """
        Return the page to which the person is sent.

        Raises:
            ConfigurationError: *token* cannot be a session token.
        """
        return widget_url(self._widget_origin, checked_token(token))

    @refusing
    def token_hash(self, token: str) -> str:
        """
        Return what stands for *token* in logs, events and errors: 12 hex digits.

        It is keyed with the company key, and the same in every process that has it.

        Raises:
            ConfigurationError: *token* cannot be a session token.
        """
        return self._caller.token_hash(checked_token(token))

    @refusing
    async def begin(
        self,
        flags: Flags | Mapping[str, object] | None = None,
        *,
        steps: Iterable[AnyStep] | None = None,
        config_id: str | None = None,
        parent_session: str | None = None,
        deadline: Deadline | None = None,
    ) -> str:
        """
        Begin a session and return its token (method ``begin/``).

        The service has no idempotency key: a call that ends unclear is never
        repeated, and its error says ``maybe_applied=True``.

        Args:
            flags: How the person is identified.
            steps: The steps of the identification; with *config_id* they override the
                saved ones.
            config_id: A configuration saved in the vendor's dashboard.
            parent_session: The token of the session to which this one belongs.
            deadline: Everything the call may take: seconds, timedelta or aware datetime.

        Returns:
            The session token, valid for the person for 15 minutes by default.

        Raises:
            ConfigurationError: An argument cannot work; nothing was sent.
            IdentomatError: See the class that is raised.
        """
        call = Call(
            operation=BEGIN,
            params=_beginning(flags, steps, config_id, parent_session),
            decode=lambda reply: read(reply.body, BEGIN, decode_token),
        )
        del flags, steps, config_id, parent_session
        return await self._caller.call(call, deadline=deadline)

    @refusing
    async def result(self, token: str, *, deadline: Deadline | None = None) -> SessionResult:
        """
        Read how a session stands now (method ``result/``).

        Args:
            token: What `begin` returned.
            deadline: Everything the call may take.

        Raises:
            ConfigurationError: *token* cannot be a session token.
            SessionNotFoundError: The service says that it does not know the session; one
                such answer is no proof, see `SessionNotFoundError.verified`.
            IdentomatError: See the class that is raised.
        """
        call = Call(operation=RESULT, params=_session(token), decode=result_of(token, RESULT))
        del token
        return await self._caller.call(call, deadline=deadline)

    @refusing
    async def delete(self, token: str, *, deadline: Deadline | None = None) -> SessionResult | None:
        """
        Delete a session at the service (method ``delete/``).

        Args:
            token: What `begin` returned.
            deadline: Everything the call may take.

        Returns:
            The document of the deleted session; None when it was gone already. With a
            secret key the service has to say so twice, since it does not sign it.

        Raises:
            ConfigurationError: *token* cannot be a session token.
            SessionInvalidError: The service calls the session invalid.
            IdentomatError: See the class that is raised; the session may still exist.
        """
        call = Call(
            operation=DELETE,
            params=_session(token),
            decode=result_of(token, DELETE),
            twice=self._caller.endpoint.is_signed,
        )
        del token
        try:
            return await self._caller.call(call, deadline=deadline)
        except SessionNotFoundError:
            return None

    @refusing
    def scoped(
        self,
        flags: Flags | Mapping[str, object] | None = None,
        *,
        steps: Iterable[AnyStep] | None = None,
        config_id: str | None = None,
        parent_session: str | None = None,
        keep: Keep = may_be_under_review,
        deadline: Seconds = 60.0,
    ) -> AbstractAsyncContextManager[str]:
        """
        Begin a session for a block, and delete it at the service when the block is left.

        However it is left: by an exception and by cancellation as well, which then take up
        to *deadline*. An exception of the block is never replaced; if the session could not
        be deleted then, the log says so at ERROR, by its `token_hash`.

        Args:
            flags: As for `begin`.
            steps: As for `begin`.
            config_id: As for `begin`.
            parent_session: As for `begin`.
            keep: A plain function of the session's `SessionResult`, read as the block is
                left: true to keep the session. By default one under MANUAL_CHECK is kept,
                since the operator would have nothing left to decide, and one with a status
                that this version does not know. A session that the service does not know,
                three times within 1.5 s, is not deleted: if it was in the block, ignore the
                warning in the log.
            deadline: Seconds or timedelta that reading and deleting may take.

        Returns:
            An async context manager of the session token.

        Raises:
            ConfigurationError: An argument cannot work.
            IdentomatError: On entering, as for `begin`; on leaving, if the session could not
                be deleted: it may still exist.
        """
        begin = partial(
            self.begin,
            flags,
            steps=steps,
            config_id=config_id,
            parent_session=parent_session,
        )
        del flags, steps, config_id, parent_session
        return ScopedSession(
            begin,
            result=self.result,
            delete=self.delete,
            token_hash=self.token_hash,
            keep=keep,
            span=seconds(deadline, name="deadline"),
        )

    @refusing
    async def media(
        self, token: str, media: Media, *, deadline: Deadline | None = None
    ) -> MediaContent:
        """
        Read an image or video of a session into memory (methods ``result/<media>/``).

        Args:
            token: What `begin` returned.
            media: Which one.
            deadline: Everything the call may take.

        Returns:
            The bytes, 64 MiB at most, and their content type.

        Raises:
            ConfigurationError: *token* cannot be a session token, or *media* none.
            MediaNotFoundError: The session has no such medium.
            ResponseTooLargeError: It is larger than 64 MiB.
            IdentomatError: See the class that is raised.
        """
        operation = _media_operation(media)
        call = Call(operation=operation, params=_session(token), decode=_media_content)
        del token
        return await self._caller.call(call, deadline=deadline)

    @refusing
    async def save_media(
        self,
        token: str,
        media: Media,
        path: str | os.PathLike[str],
        *,
        deadline: Deadline | None = None,
    ) -> Path:
        """
        Write an image or video of a session to a file, without holding it in memory.

        The file appears whole or not at all, with mode 0600; one that was there before is
        replaced. Where the disk is so slow that the deadline ends the call, it may still
        appear later.

        Args:
            token: What `begin` returned.
            media: Which one.
            path: The file.
            deadline: Everything the call may take.

        Returns:
            The path of the file.

        Raises:
            OSError: The file cannot be written.
            IdentomatError: As for `media`. Catch this first: its `RequestTimeoutError` is a
                TimeoutError, and so an OSError, too.
        """
        file = AtomicFile(path)
        call = Call(
            operation=_media_operation(media),
            params=_session(token),
            decode=lambda _: None,
            sink=file,
        )
        del token
        async with file:
            with suppress(SinkError):
                await self._caller.call(call, deadline=deadline)
        if file.failure is not None:
            raise file.failure
        return file.path

    @refusing
    async def screening_person(
        self, person_id: str, *, deadline: Deadline | None = None
    ) -> ScreeningPerson:
        """
        Read the details behind a screening match (``get-screening-person-details/``).

        Args:
            person_id: `ScreeningMatch.person_id`.
            deadline: Everything the call may take.

        Raises:
            ConfigurationError: *person_id* is empty or has unprintable characters.
            IdentomatError: See the class that is raised.
        """
        call = Call(
            operation=SCREENING,
            params={"personId": checked_text(person_id, name="person_id")},
            decode=lambda reply: read(reply.body, SCREENING, decode_screening_person),
        )
        del person_id
        return await self._caller.call(call, deadline=deadline)

    @refusing
    async def call(
        self,
        method: str,
        params: Mapping[str, object] | None = None,
        *,
        deadline: Deadline | None = None,
    ) -> object:
        """
        Call a method of the API that this version does not know: JSON in, JSON out.

        It is never repeated once the service may have acted on it.

        Args:
            method: Its path below the base URL, such as ``"compare-faces/"``.
            params: Its parameters; the company key is added.
            deadline: Everything the call may take.

        Raises:
            ConfigurationError: *method* is not a relative path, or a parameter cannot be
                said in JSON.
            IdentomatError: See the class that is raised.
        """
        operation = other_operation(method)
        if params is not None and not isinstance(params, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
            raise ConfigurationError("params must be a mapping of parameters by name")
        call = Call(
            operation=operation,
            params=sendable_members(params or {}, "params"),
            decode=lambda reply: read(reply.body, operation, strict_json),
        )
        del params
        return await self._caller.call(call, deadline=deadline)


def _beginning(
    flags: Flags | Mapping[str, object] | None,
    steps: Iterable[AnyStep] | None,
    config_id: str | None,
    parent_session: str | None,
) -> dict[str, object]:
    params: dict[str, object] = {}
    if flags is not None:
        params["flags"] = encode_flags(flags)
    if steps is not None:
        params["steps"] = encode_steps(steps)
    if config_id is not None:
        params["config_id"] = checked_text(config_id, name="config_id")
    if parent_session is not None:
        params["parent_session_id"] = checked_token(parent_session)
    return params


def _session(token: str) -> dict[str, object]:
    return {"session_token": checked_token(token)}


def _media_operation(media: Media) -> Operation:
    if media not in tuple(Media):
        raise ConfigurationError(f"media must be one of {', '.join(Media)}")
    return media_operation(media)


def _media_content(reply: Reply) -> MediaContent:
    return MediaContent(content=reply.body, content_type=content_type_of(reply))
