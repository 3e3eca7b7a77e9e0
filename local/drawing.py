"""Draws short films of two people, for the demo and the tests: no footage of anybody, and the same every time.

Articulated figures (head, torso, arms and legs of two segments) move between named poses on a drawn street. What a
figure does is a list of moments; what lies between them is interpolated. It must not read files, clocks or global
randomness.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Point = tuple[float, float]
Frame = NDArray[np.uint8]

_CAPTION = "drawn clip, not footage"
_NOISE_FIELDS = 6
_NOISE_LEVEL = 2.0
# Body height in heights of the picture; the rest of the body follows from it.
_BODY = 0.62
_SKIN: Colour = (222, 184, 150)
_RED: Colour = (176, 52, 48)
_BLUE: Colour = (58, 110, 165)
_BLUE_GRAY: Colour = (96, 104, 136)
_BROWN: Colour = (132, 112, 88)


@dataclass(frozen=True)
class Pose:
    """Angles in degrees from hanging straight down, positive towards where the figure looks.

    `lean` tilts the torso (negative: backwards). Index 1 is the near limb.
    """

    lean: float = 3
    thigh1: float = 6
    shin1: float = 2
    thigh2: float = -6
    shin2: float = -8
    upper1: float = 6
    fore1: float = 16
    upper2: float = -4
    fore2: float = 8

    def towards(self, other: Pose, share: float) -> Pose:
        """The pose `share` (0 to 1) of the way to `other`."""
        mine, theirs = vars(self), vars(other)
        return Pose(**{name: mine[name] + (theirs[name] - mine[name]) * share for name in mine})


_GUARD = Pose(10, 26, -4, -24, -40, 38, 128, 22, 118)
_POSES = {
    "guard": _GUARD,
    "jab": Pose(24, 40, 6, -34, -50, 92, 92, 10, 120),
    "cross": Pose(34, 46, 10, -40, -52, 16, 118, 96, 94),
    "swing": Pose(28, 34, 2, -30, -46, 138, 62, -40, 60),
    "kick": Pose(-24, 104, 88, -6, -10, 50, 110, -50, 10),
    "push": Pose(36, 48, 8, -44, -56, 84, 96, 78, 92),
    "raise": Pose(-8, 20, -6, -22, -34, 165, 210, 150, 200),
    "reel": Pose(-30, 8, -10, -40, -60, 70, 30, -70, -20),
    "bend": Pose(58, 42, -20, -12, -60, 40, 100, 50, 110),
    "block": Pose(-6, 30, -20, -26, -52, 80, 170, 70, 160),
    "down": Pose(-74, 78, 40, 60, 96, -60, -30, 60, 110),
    "kneel": Pose(30, 76, -14, -10, -92, 30, 60, 20, 50),
}
_ATTACKS = ("jab", "cross", "swing", "kick", "push")
_REACTIONS = {"jab": "reel", "cross": "reel", "swing": "bend", "kick": "bend", "push": "reel"}


@dataclass(frozen=True)
class Moment:
    """At `time` seconds the figure stands at `x` (picture widths) in `pose`."""

    time: float
    x: float
    pose: Pose


@dataclass(frozen=True)
class Actor:
    """A figure: its colours, the way it looks (1 right, -1 left), and where and how it is at a time.

    `ground` is the height in the picture (0 top, 1 bottom) it walks at; further up is further away, and smaller.
    """

    shirt: Colour
    trousers: Colour
    looks: Callable[[float], int]
    at: Callable[[float], tuple[float, Pose]]
    ground: float = 0.93


def draw_fight_clip(
    path: Path, seconds: float = 12.0, width: int = 640, height: int = 360, fps: int = 25, seed: int = 7
) -> None:
    """Writes an H.264 MP4: two people walk up (first third), fight (second), part and walk away (last)."""
    meet, part = seconds / 3, 2 * seconds / 3
    first, second = _fight(meet, part, random.Random(seed))  # noqa: S311  # a choreography, not a secret
    actors = (
        _walker_and_fighter(_RED, _BLUE_GRAY, 1, (meet, part, seconds), first),
        _walker_and_fighter(_BLUE, _BROWN, -1, (meet, part, seconds), second),
    )
    _write(path, actors, seconds, (width, height), fps, seed)


def draw_calm_clip(
    path: Path, seconds: float = 24.0, width: int = 640, height: int = 360, fps: int = 25, seed: int = 7
) -> None:
    """Writes an H.264 MP4: two people stroll past each other, across the whole picture in `seconds`.

    Twice as fast, in 12 s, they raise the bundled model's alarm: brisk walking is among its weaknesses (see its card).
    """
    actors = (
        _passer((140, 152, 165), (92, 90, 86), -1, seconds, ground=0.83),
        _passer((170, 150, 140), (100, 98, 102), 1, seconds, ground=0.93),
    )
    _write(path, actors, seconds, (width, height), fps, seed)


# --------------------------------------------------------------------------- what happens


def _fight(start: float, end: float, rng: random.Random) -> tuple[list[Moment], list[Moment]]:
    """Blow after blow, with one fall in the middle: the moments of the left figure and of the right one."""
    tracks: tuple[list[Moment], list[Moment]] = ([], [])
    home, centre, time = (-0.085, 0.085), 0.5, start
    for track, place in zip(tracks, home, strict=True):
        track.append(Moment(time, centre + place, _GUARD))
    fall_at = start + 0.55 * (end - start)
    fallen = False
    while time < end - 0.7:
        hitter = rng.randrange(2)
        side = 1 if hitter == 0 else -1
        if not fallen and time > fall_at:
            time, fallen = _throw_down(tracks, hitter, time, centre), True
            continue
        attack = rng.choice(_ATTACKS)
        centre = min(max(centre + side * rng.uniform(0.0, 0.05), 0.4), 0.6)
        lunge = rng.uniform(0.05, 0.09) * side
        _strike(tracks, hitter, time, centre, attack, lunge, home)
        time += rng.uniform(0.3, 0.38)
    for track, place in zip(tracks, home, strict=True):
        track.append(Moment(end, centre + place, _GUARD))
    return tracks


def _strike(
    tracks: tuple[list[Moment], list[Moment]],
    hitter: int,
    time: float,
    centre: float,
    attack: str,
    lunge: float,
    home: tuple[float, float],
) -> None:
    """One blow: wind up, hit while the other reels or bends, and both a little back."""
    victim = 1 - hitter
    tracks[hitter].append(Moment(time + 0.06, centre + home[hitter] - lunge / 2, _POSES["guard"]))
    tracks[hitter].append(Moment(time + 0.17, centre + home[hitter] + lunge, _POSES[attack]))
    tracks[hitter].append(Moment(time + 0.28, centre + home[hitter], _POSES["guard"]))
    tracks[victim].append(Moment(time + 0.13, centre + home[victim], _POSES["block"]))
    tracks[victim].append(Moment(time + 0.24, centre + home[victim] + lunge * 0.9, _POSES[_REACTIONS[attack]]))


def _throw_down(tracks: tuple[list[Moment], list[Moment]], hitter: int, time: float, centre: float) -> float:
    """A shove that ends on the ground, blows from above, and up again; gives the time after it."""
    victim, side = 1 - hitter, 1 if hitter == 0 else -1
    mine, theirs = centre - side * 0.085, centre + side * 0.085
    for offset, x, pose in (
        (0.15, mine + side * 0.07, "push"),
        (0.4, mine + side * 0.06, "raise"),
        (0.55, mine + side * 0.1, "cross"),
        (0.7, mine + side * 0.07, "raise"),
        (0.85, mine + side * 0.1, "swing"),
        (1.0, mine + side * 0.03, "guard"),
    ):
        tracks[hitter].append(Moment(time + offset, x, _POSES[pose]))
    for offset, x, pose in (
        (0.18, theirs + side * 0.04, "reel"),
        (0.42, theirs + side * 0.1, "down"),
        (0.6, theirs + side * 0.11, "down"),
        (0.95, theirs + side * 0.05, "kneel"),
        (1.15, theirs, "guard"),
    ):
        tracks[victim].append(Moment(time + offset, x, _POSES[pose]))
    return time + 1.2


def _walker_and_fighter(
    shirt: Colour, trousers: Colour, side: int, times: tuple[float, float, float], moments: Sequence[Moment]
) -> Actor:
    """Walks in from its side, follows `moments`, walks out where it came from. `side` 1 comes from the left."""
    meet, part, end = times
    outside = 0.5 - side * 0.56
    first, last = moments[0], moments[-1]

    def at(time: float) -> tuple[float, Pose]:
        if time < meet:
            x, pose = _walk(outside, first.x, meet, time)
            return x, pose.towards(first.pose, max(0.0, 1 - (meet - time) / 0.6))
        if time < part:
            return _between(moments, time)
        x, pose = _walk(last.x, outside, end - part, time - part)
        return x, last.pose.towards(pose, min(1.0, (time - part) / 0.8))

    return Actor(shirt, trousers, lambda time: side if time < part + 0.3 else -side, at)


def _passer(shirt: Colour, trousers: Colour, side: int, seconds: float, ground: float) -> Actor:
    ends = (0.5 - side * 0.56, 0.5 + side * 0.56)
    return Actor(shirt, trousers, lambda _: side, lambda time: _walk(*ends, seconds, time), ground)


def _walk(start: float, end: float, duration: float, time: float) -> tuple[float, Pose]:
    """Steady steps from `start` to `end`: as long as the way takes, so that the feet don't slide much."""
    step = math.sin(2 * math.pi * 0.8 * time)
    lift = math.cos(2 * math.pi * 0.8 * time)
    pose = Pose(
        lean=4,
        thigh1=22 * step,
        shin1=22 * step - 18 * max(lift, 0),
        thigh2=-22 * step,
        shin2=-22 * step - 18 * max(-lift, 0),
        upper1=-16 * step,
        fore1=-16 * step + 12,
        upper2=16 * step,
        fore2=16 * step + 12,
    )
    return start + (end - start) * min(time / duration, 1.0), pose


def _between(moments: Sequence[Moment], time: float) -> tuple[float, Pose]:
    """Eased between the moments around `time`."""
    after = next((index for index, moment in enumerate(moments) if moment.time > time), len(moments) - 1)
    one, two = moments[max(after - 1, 0)], moments[after]
    share = min(max((time - one.time) / max(two.time - one.time, 1e-6), 0.0), 1.0)
    share = share * share * (3 - 2 * share)
    return one.x + (two.x - one.x) * share, one.pose.towards(two.pose, share)


# --------------------------------------------------------------------------- how it looks


def _background(width: int, height: int) -> Image.Image:
    """A dark pavement before a sunlit wall with windows, a door and the shadow of a roof."""
    image = Image.new("RGB", (width, height), (206, 200, 188))
    pen = ImageDraw.Draw(image)
    floor = int(height * 0.66)
    for row in range(8):
        offset = (row % 2) * width // 24
        y = row * floor // 8
        pen.line((0, y, width, y), fill=(190, 184, 172))
        for x in range(offset, width, width // 12):
            pen.line((x, y, x, y + floor // 8), fill=(190, 184, 172))
    pen.rectangle((0, 0, width, 0.08 * height), fill=(58, 54, 52))
    for left in (0.06, 0.3, 0.78):
        box = (left * width, 0.14 * height, (left + 0.15) * width, 0.4 * height)
        pen.rectangle(box, fill=(36, 44, 54), outline=(244, 240, 232), width=3)
        pen.line(((box[0] + box[2]) / 2, box[1], (box[0] + box[2]) / 2, box[3]), fill=(244, 240, 232), width=2)
    pen.rectangle((0.56 * width, 0.18 * height, 0.68 * width, floor), fill=(60, 42, 32), outline=(44, 32, 26), width=3)
    pen.rectangle((0, floor, width, height), fill=(66, 66, 70))
    for step in range(-8, 9):
        pen.line((width / 2 + step * width / 12, floor, width / 2 + step * width / 5, height), fill=(54, 54, 58))
    return image


def _draw_actor(pen: ImageDraw.ImageDraw, actor: Actor, time: float, size: tuple[int, int]) -> None:
    x, pose = actor.at(time)
    width, height = size
    body = _BODY * height * (1 - 1.5 * (0.93 - actor.ground))
    ground = actor.ground * height
    leg, looks = 0.245 * body, actor.looks(time)
    hip = (x * width, ground - _depth(pose, body, leg))
    shoulder = _reach(hip, 180 - pose.lean, 0.3 * body, looks)
    pen.ellipse((hip[0] - 0.2 * body, ground - 4, hip[0] + 0.2 * body, ground + 7), fill=(48, 48, 52))
    trousers, shirt = _shade(actor.trousers), _shade(actor.shirt)
    arm = (0.165 * body, 0.17 * body)
    _limb(pen, hip, (pose.thigh2, pose.shin2), (leg, leg), looks, (trousers, trousers), 0.075 * body)
    _limb(pen, shoulder, (pose.upper2, pose.fore2), arm, looks, (shirt, _shade(_SKIN)), 0.05 * body)
    _limb(pen, hip, (pose.thigh1, pose.shin1), (leg, leg), looks, (actor.trousers, actor.trousers), 0.08 * body)
    _segment(pen, hip, shoulder, actor.shirt, 0.135 * body)
    head = _reach(shoulder, 180 - pose.lean * 0.8, 0.115 * body, looks)
    radius = 0.068 * body
    pen.ellipse((head[0] - radius, head[1] - radius, head[0] + radius, head[1] + radius), fill=_SKIN)
    pen.pieslice((head[0] - radius, head[1] - radius, head[0] + radius, head[1] + radius), 180, 360, fill=(58, 44, 36))
    _limb(pen, shoulder, (pose.upper1, pose.fore1), arm, looks, (actor.shirt, _SKIN), 0.055 * body)


def _shade(colour: Colour) -> Colour:
    """The limbs behind the body are in its shadow."""
    red, green, blue = (int(part * 0.72) for part in colour)
    return red, green, blue


def _depth(pose: Pose, body: float, leg: float) -> float:
    """How far below the hip the lowest joint is: that one stands, kneels or lies on the ground."""
    knees = [leg * math.cos(math.radians(angle)) for angle in (pose.thigh1, pose.thigh2)]
    shins = (pose.shin1, pose.shin2)
    feet = [knee + leg * math.cos(math.radians(angle)) for knee, angle in zip(knees, shins, strict=True)]
    return max(*knees, *feet, 0.07 * body)


def _limb(
    pen: ImageDraw.ImageDraw,
    root: Point,
    angles: tuple[float, float],
    lengths: tuple[float, float],
    looks: int,
    colours: tuple[Colour, Colour],
    thickness: float,
) -> None:
    joint = _reach(root, angles[0], lengths[0], looks)
    _segment(pen, joint, _reach(joint, angles[1], lengths[1], looks), colours[1], thickness * 0.85)
    _segment(pen, root, joint, colours[0], thickness)


def _reach(root: Point, angle: float, length: float, looks: int) -> Point:
    radians = math.radians(angle)
    return root[0] + looks * length * math.sin(radians), root[1] + length * math.cos(radians)


def _segment(pen: ImageDraw.ImageDraw, start: Point, end: Point, colour: Colour, thickness: float) -> None:
    pen.line((*start, *end), fill=colour, width=round(thickness))
    half = thickness / 2
    for x, y in (start, end):
        pen.ellipse((x - half, y - half, x + half, y + half), fill=colour)


def _frames(actors: Sequence[Actor], seconds: float, size: tuple[int, int], fps: int, seed: int) -> Iterator[Frame]:
    """RGB pictures (height, width, 3) uint8 with a camera's noise."""
    rng = np.random.default_rng(seed)
    noise = [rng.normal(0, _NOISE_LEVEL, (size[1], size[0], 1)).astype(np.int16) for _ in range(_NOISE_FIELDS)]
    background = _background(*size)
    font = ImageFont.load_default(max(size[1] / 26, 8))
    for number in range(round(seconds * fps)):
        image = background.copy()
        pen = ImageDraw.Draw(image)
        for actor in actors:
            _draw_actor(pen, actor, number / fps, size)
        pen.text((size[0] * 0.015, size[1] * 0.015), _CAPTION, fill=(250, 250, 250), font=font)
        noisy = np.asarray(image).astype(np.int16) + noise[number % _NOISE_FIELDS]
        yield np.clip(noisy, 0, 255).astype(np.uint8)


def _write(path: Path, actors: Sequence[Actor], seconds: float, size: tuple[int, int], fps: int, seed: int) -> None:
    """Encodes the film. Threads and lookahead are fixed because x264's output depends on them, from run to run even."""
    x264 = {"preset": "veryfast", "crf": "23", "threads": "2", "rc-lookahead": "0"}
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as output:
        stream = output.add_stream("libx264", rate=fps, options=x264)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for frame in _frames(actors, seconds, size, fps, seed):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode(None))
