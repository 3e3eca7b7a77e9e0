"""Room for what is held in memory: never more than there is, in the order of coming, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared.errors import Retryable
from shared.web.receiving import Room


def hold(room: Room, size: int, name: str, events: list[str], until: asyncio.Event) -> asyncio.Task[None]:
    async def holding() -> None:
        async with room.holding(size):
            events.append(name)
            await until.wait()

    return asyncio.create_task(holding())


def in_loop(scenario: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(10):
            await scenario()

    asyncio.run(within())


def test_what_fits_is_held_at_once_and_the_rest_waits_for_its_turn() -> None:
    async def scenario() -> None:
        room, events, first, others = Room(100, 5), list[str](), asyncio.Event(), asyncio.Event()
        tasks = [hold(room, 60, "first", events, first)]
        await asyncio.sleep(0.05)
        tasks.append(hold(room, 60, "large", events, others))
        await asyncio.sleep(0.05)
        tasks.append(hold(room, 10, "small", events, others))
        await asyncio.sleep(0.1)
        assert events == ["first"], "the small one would fit, but the large one came before it"
        first.set()
        while len(events) < 3:
            await asyncio.sleep(0.01)
        assert events == ["first", "large", "small"]
        others.set()
        await asyncio.gather(*tasks)

    in_loop(scenario)


def test_who_waits_too_long_is_sent_away_and_holds_up_nobody() -> None:
    async def scenario() -> None:
        room, events, until = Room(100, 0.05), list[str](), asyncio.Event()
        holder = hold(room, 100, "holder", events, until)
        await asyncio.sleep(0.02)
        with pytest.raises(Retryable) as caught:
            await hold(room, 1, "late", events, until)
        assert caught.value.retry_after == 0.05
        until.set()
        await holder
        await hold(room, 100, "next", events, until)
        assert events == ["holder", "next"]

    in_loop(scenario)


def test_more_than_there_is_takes_all_of_it() -> None:
    async def scenario() -> None:
        room, events, until = Room(100, 1), list[str](), asyncio.Event()
        until.set()
        await hold(room, 1000, "huge", events, until)
        await hold(room, 100, "next", events, until)
        assert events == ["huge", "next"]

    in_loop(scenario)


def test_who_fails_or_is_given_up_gives_its_room_back() -> None:
    async def scenario() -> None:
        room, events, until = Room(100, 1), list[str](), asyncio.Event()
        holder = hold(room, 100, "holder", events, until)
        await asyncio.sleep(0.02)
        waiting = hold(room, 100, "waiting", events, until)
        await asyncio.sleep(0.02)
        for task in (waiting, holder):
            task.cancel()
        await asyncio.gather(holder, waiting, return_exceptions=True)
        until.set()
        await hold(room, 100, "next", events, until)
        assert events == ["holder", "next"]

    in_loop(scenario)
