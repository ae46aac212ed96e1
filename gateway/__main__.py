"""`python -m gateway input|output --config gateway.toml [--port URL]`."""

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.clock import SystemClock
from gateway.input import Input
from gateway.outbox_file import NewerOutbox
from gateway.output import Output
from gateway.output.uplink import uplink_for
from gateway.settings import GatewaySettings, SettingsError, is_readable_by_others
from qold.plain_logs import keep_logs_plain
from qold.plain_text import visible
from qold.private_files import NotPrivate, restrict_umask

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_MISSING = 0, 1, 2, 3

log = logging.getLogger("gateway")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 stopped as asked, 1 failed, 2 wrong arguments or settings, 3 not private."""
    restrict_umask()
    parser = argparse.ArgumentParser(prog="gateway", description=__doc__)
    parser.add_argument("component", choices=("input", "output"))
    parser.add_argument("--config", type=Path, required=True, metavar="gateway.toml")
    parser.add_argument("--port", metavar="URL", help="device, socket://host:port or loop://")
    chosen = parser.parse_args(arguments)
    keep_logs_plain()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level="INFO")
    if chosen.component == "input":
        return run_input(chosen.config, port=chosen.port)
    if chosen.port:
        parser.error("--port is for input")
    return run_output(chosen.config)


def run_input(config: Path, *, port: str | None = None) -> int:
    """Receive until SIGTERM or SIGINT; returns the exit code."""

    def start(settings: GatewaySettings) -> Input:
        return Input(settings, SystemClock(), port=port)

    return _run(config, start)


def run_output(config: Path) -> int:
    """Publish until SIGTERM or SIGINT; returns the exit code."""

    def start(settings: GatewaySettings) -> Output:
        clock = SystemClock()
        uplink = uplink_for(
            settings.uplink_url,
            clock,
            certificates=settings.uplink_certificates,
            refresh_ms=settings.uplink_refresh_ms,
        )
        return Output(settings, clock, uplink)

    return _run(config, start)


def _run(config: Path, start: Callable[[GatewaySettings], Input | Output]) -> int:
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    try:
        settings = GatewaySettings.load(config)
        settings.check_folders()
        if is_readable_by_others(config):
            log.warning("path=%s holds a token and others can read it: chmod 600", config)
        component = start(settings)
        try:
            component.run(lambda: bool(stopping))
        finally:
            component.close()
    except SettingsError as exc:
        sys.stderr.write(visible(f"{exc}\n", keep="\n"))
        return EXIT_USAGE
    except NotPrivate as exc:
        sys.stderr.write(f"{exc.filename}: {exc.strerror}\nfix: {exc.fix}\n")
        return EXIT_MISSING
    except NewerOutbox as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_FAILED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
