"""Parses and prints times of a video: 1:20, 80, 5s, 0:01:20.5."""

import re
from fractions import Fraction

from multigen.errors import ConfigError

__all__ = ["clock", "rate_of", "seconds_of"]

TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)s?")


def seconds_of(word: str, option: str) -> Fraction:
    """Seconds in a time such as 80, 5s, 1:20 or 1:02:03.5. Raises ConfigError for another word."""
    if (match := TIME.fullmatch(word.strip())) is None:
        raise ConfigError(f"{option} {word}: expected a time, such as 5s, 1:20 or 1:02:03.5")
    hours, minutes, seconds = match.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + Fraction(seconds)


def clock(seconds: Fraction | float) -> str:
    """A time as `seconds_of` reads it: 1:20, 0:00.52, 1:02:03."""
    hundredths = int(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    whole = f"{rest // 100:02}" + (f".{rest % 100:02}" if rest % 100 else "")
    return f"{minutes // 60}:{minutes % 60:02}:{whole}" if minutes >= 60 else f"{minutes}:{whole}"


def rate_of(word: str) -> Fraction:
    """Frames per second, such as 25, 29.97 or 30000/1001. Raises ConfigError for another word."""
    try:
        rate = Fraction(word).limit_denominator(100_000)  # ffmpeg holds rates in 32 bits
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not Fraction(1, 1000) <= rate <= 1000:
        raise ConfigError(f"--fps {word}: expected frames a second, 0.001 to 1000, such as 25, 29.97 or 30000/1001")
    return rate
