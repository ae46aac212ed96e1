"""Frames between a device and its gateway (docs/wire-format.md)."""

from qold.wire.frame import (
    Ack,
    Frame,
    FrameError,
    Item,
    MalformedFrame,
    WrongCount,
    WrongCrc,
    WrongLength,
    WrongRange,
    WrongType,
    WrongVersion,
    decode,
    encode,
)
from qold.wire.reader import FrameReader, ReaderCounters

__all__ = [
    "Ack",
    "Frame",
    "FrameError",
    "FrameReader",
    "Item",
    "MalformedFrame",
    "ReaderCounters",
    "WrongCount",
    "WrongCrc",
    "WrongLength",
    "WrongRange",
    "WrongType",
    "WrongVersion",
    "decode",
    "encode",
]
