"""The pipe between the request's loop and the bucket's thread: all of it, in order, a few blocks at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.web.feed import CAPACITY, Aborted, Feed, ReaderEnded


async def passed_through(blocks: Sequence[bytes], size: int) -> bytes:
    feed = Feed()

    def read() -> bytes:
        return b"".join(iter(lambda: feed.read(size) or b"", b""))

    reading = asyncio.get_running_loop().run_in_executor(None, read)
    for block in blocks:
        await feed.send(block)
    feed.finish()
    return await reading


@given(st.lists(st.binary(max_size=50), max_size=3 * CAPACITY), st.integers(1, 60))
def test_what_is_sent_is_read(blocks: list[bytes], size: int) -> None:
    assert asyncio.run(passed_through(blocks, size)) == b"".join(blocks)


def test_a_sender_waits_for_a_slow_reader() -> None:
    async def scenario() -> None:
        feed = Feed()
        for _ in range(CAPACITY):
            await feed.send(b"x")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(feed.send(b"x"), 0.05)
        assert feed.read(1) == b"x"
        await asyncio.wait_for(feed.send(b"x"), 5)

    asyncio.run(scenario())


def test_a_reader_of_a_file_that_was_given_up_never_sees_its_end() -> None:
    async def scenario() -> None:
        feed = Feed()
        await feed.send(b"half")
        feed.abort()
        assert feed.read(100) == b"half"
        with pytest.raises(Aborted):
            feed.read(100)

    asyncio.run(scenario())


def test_a_sender_does_not_wait_for_a_reader_that_is_gone() -> None:
    async def scenario() -> None:
        feed = Feed()
        for _ in range(CAPACITY):
            await feed.send(b"x")
        waiting = asyncio.ensure_future(feed.send(b"x"))
        await asyncio.sleep(0)
        feed.reader_ended()
        with pytest.raises(ReaderEnded):
            await waiting

    asyncio.run(scenario())
