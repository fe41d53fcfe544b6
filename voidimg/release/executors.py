"""Executors by their names on the command line."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from voidimg.errors import FetchError, ToolError, UsageError


@contextmanager
def releasing(word: str | None) -> Iterator[Executor | None]:
    """The executor that `word` names, for as long as the block runs; None: this process itself.

    Raises:
        UsageError: there is no such executor.
        ToolError: Dask is not installed.
        FetchError: its scheduler cannot be reached.
    """
    if word is None:
        yield None
        return
    name, colon, address = word.partition(":")
    if name != "dask" or not colon or not address:
        raise UsageError(
            f"{word!r} is no executor",
            code="EXECUTOR",
            where="--executor",
            hint="give the scheduler of Dask, like dask:tcp://10.0.0.1:8786",
        )
    try:
        # An extra without types; whoever does not use it need not have it.
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise ToolError(
            "Dask is not installed",
            code="MISSING",
            where="dask",
            hint="install it: pip install 'voidimg[dask]'",
        ) from error
    try:
        client = distributed.Client(address, timeout=30)
    except (OSError, ValueError) as error:
        raise FetchError(
            f"the scheduler cannot be reached: {error}",
            code="EXECUTOR",
            where=address,
            hint="is it running there, and does its version fit?",
        ) from error
    with client:
        # pure: else equal tasks would run once and share their result for ever
        executor = client.get_executor(pure=False, retries=1)
        yield executor
