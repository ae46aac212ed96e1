"""A device's limits, as the registry's text map holds them (source 7.3.4, T3.5; inventory A8, A40)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from qold.domain.excursions import Rule

DEFAULT_MIN_BATTERY = 20
DEFAULT_INTERVAL_S = 900
PAUSE_INTERVALS = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """°C, %, and milliseconds; a missing temperature limit means no check on that side."""

    min_celsius: float | None = None
    max_celsius: float | None = None
    min_battery: int = DEFAULT_MIN_BATTERY
    delay_ms: int = 0
    hysteresis: float = 0.0
    interval_ms: int = DEFAULT_INTERVAL_S * 1000

    def temperature_rules(self) -> tuple[Rule, Rule]:
        """Too warm, too cold."""
        pause_ms, delay_ms = PAUSE_INTERVALS * self.interval_ms, self.delay_ms
        return (
            Rule("temperature.high", self.max_celsius, 1, pause_ms, delay_ms, self.hysteresis),
            Rule("temperature.low", self.min_celsius, -1, pause_ms, delay_ms, self.hysteresis),
        )

    def battery_rules(self) -> tuple[Rule]:
        """Too low; neither delay nor hysteresis are meant for it."""
        pause_ms = PAUSE_INTERVALS * self.interval_ms
        return (Rule("battery.low", self.min_battery, -1, pause_ms),)


def read_limits(config: Mapping[str, str]) -> tuple[Limits, list[str]]:
    """The limits, and every entry that could not be read, for which the default stands.

    Where limits are written, any problem is a refusal; where they are read, it must be told.
    """
    problems: list[str] = []

    def number(name: str, low: float, high: float) -> float | None:
        text = config.get(name)
        if text is None or not text.strip():
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:  # also where it is not a number
            problems.append(f"{name}: {text!r} is not a number from {low:g} to {high:g}")
            return None
        return value

    coldest, warmest = (
        number("minTemperature", -327.67, 327.67),
        number("maxTemperature", -327.67, 327.67),
    )
    if coldest is not None and warmest is not None and coldest > warmest:
        problems.append(f"minTemperature: {coldest:g} is above maxTemperature {warmest:g}")
        coldest = warmest = None
    min_battery = number("minBattery", 0, 100)
    interval_s = number("reportInterval", 1, 86_400)
    limits = Limits(
        coldest,
        warmest,
        DEFAULT_MIN_BATTERY if min_battery is None else round(min_battery),
        round(1000 * (number("alertDelay", 0, 86_400) or 0)),
        number("hysteresis", 0, 100) or 0.0,
        round(1000 * (DEFAULT_INTERVAL_S if interval_s is None else interval_s)),
    )
    return limits, problems
