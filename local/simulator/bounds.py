"""The limits of simulated and recorded devices: the truth that registry and oracle are given."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """A device's limits as its owner set them; None is no check on that side."""

    lowest: float | None = None
    highest: float | None = None
    least_battery: float = 20
    delay_s: float = 0
    hysteresis: float = 0.0
    interval_s: int = 900

    def as_config(self) -> dict[str, str]:
        """The same as the registry's text map holds it; what is the default is left out."""
        config = {}
        if self.lowest is not None:
            config["minTemperature"] = f"{self.lowest:g}"
        if self.highest is not None:
            config["maxTemperature"] = f"{self.highest:g}"
        if self.delay_s:
            config["alertDelay"] = f"{self.delay_s:g}"
        if self.hysteresis:
            config["hysteresis"] = f"{self.hysteresis:g}"
        if self.interval_s != 900:
            config["reportInterval"] = str(self.interval_s)
        return config
