"""`./qold tail`."""

import click

from cli.errors import USAGE, Failure
from cli.options import json_option, state_option
from local.console import print_json, print_line
from local.log_records import last_records
from qold import wiring
from qold.clock import SystemClock
from qold.ports import Record
from qold.settings import Settings

RECORDS, BYTES, WAIT_MS = 500, 2**22, 500


@click.command()
@click.argument("topic")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-n", "last", type=click.IntRange(min=0), default=10, show_default=True)
@state_option
@json_option
def command(topic: str, follow: bool, last: int, settings: Settings, as_json: bool) -> None:
    """Show the last records of TOPIC, oldest first."""
    log = wiring.message_log(settings, SystemClock())
    topics = log.topics()
    if topic not in topics:
        there = ", ".join(topics) or "none; start with ./qold up"
        raise Failure(f"no topic {topic}; there is: {there}", exit_code=USAGE)
    records, reader = last_records(log, topic, last, consumer="tail")
    found = sorted(records, key=_age)
    for record in found[len(found) - min(last, len(found)) :]:
        _print(record, as_json)
    while follow:
        for record in reader.poll(
            range(topics[topic]), max_records=RECORDS, max_bytes=BYTES, wait_ms=WAIT_MS
        ):
            _print(record, as_json)


def _age(record: Record) -> tuple[int, int, int]:
    return record.appended_at_ms, record.partition, record.offset


def _print(record: Record, as_json: bool) -> None:
    text = record.value.decode("utf-8", "backslashreplace")
    if as_json:
        line = {
            "partition": record.partition,
            "offset": record.offset,
            "appended_at_ms": record.appended_at_ms,
            "key": record.key,
            "value": text,
        }
        print_json(line)
    else:
        print_line(f"{record.partition}:{record.offset} {record.key} {text}")
