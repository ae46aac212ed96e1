"""`./qold tail`."""

import json
from collections import deque

import click

from cli.errors import USAGE, Failure
from cli.options import json_option, state_option
from qold import wiring
from qold.clock import SystemClock
from qold.ports import LogReader, Record
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
    partitions = range(topics[topic])
    reader = log.reader("tail", topic, partitions)
    newest = {partition: deque[Record](maxlen=last) for partition in partitions}
    while records := _poll(reader, partitions, 0):
        newest[records[0].partition].extend(records)
    found = sorted((record for kept in newest.values() for record in kept), key=_age)
    for record in found[len(found) - min(last, len(found)) :]:
        _print(record, as_json)
    while follow:
        for record in _poll(reader, partitions, WAIT_MS):
            _print(record, as_json)


def _poll(reader: LogReader, partitions: range, wait_ms: int) -> list[Record]:
    return reader.poll(partitions, max_records=RECORDS, max_bytes=BYTES, wait_ms=wait_ms)


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
        click.echo(json.dumps(line))
    else:
        click.echo(f"{record.partition}:{record.offset} {record.key} {text}")
