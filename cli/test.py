"""`./qold test`: every test group this machine can run."""

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import click
from rich.text import Text

from cli.console import stderr
from cli.errors import FAILED, MISSING, USAGE, Failure
from cli.options import json_option
from cli.signals import unwind_on_sigterm
from local import tools
from local.console import print_json, print_line
from local.test_groups import GROUPS, GroupResult, end_groups, run_group


@click.command()
@click.argument("names", nargs=-1, metavar="[GROUP]…")
@click.option("--list", "only_list", is_flag=True, help="List the groups and run nothing.")
@click.option("--jobs", default=2, show_default=True, help="Groups at a time.")
@json_option
def command(names: tuple[str, ...], only_list: bool, jobs: int, as_json: bool) -> int:
    """Run the test groups (all of them, or those named) and say what was left out.

    Tests that need a program this machine lacks are left out, with the command that installs it.
    Groups with servers run one after the other, whatever --jobs says. With CI=true nothing may be
    left out: what is missing is installed where this is root, and a skipped test fails its group.
    """
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise Failure(
            f"no group {', '.join(unknown)}; there is: {', '.join(GROUPS)}", exit_code=USAGE
        )
    chosen = {name: group for name, group in GROUPS.items() if not names or name in names}
    if only_list:
        for name, group in chosen.items():
            print_line(f"{name:12} {group.meaning}")
        return 0
    is_strict = os.environ.get("CI") == "true"
    if any(group.needs_servers for group in chosen.values()):
        _provide_tools(is_strict)
    unwind_on_sigterm()
    started = time.monotonic()
    beside = jobs - any(group.needs_servers for group in chosen.values())
    with ThreadPoolExecutor(1) as served, ThreadPoolExecutor(max(1, beside)) as other:
        running = [
            (served if group.needs_servers or jobs <= 1 else other).submit(run_group, name, group)
            for name, group in chosen.items()
        ]
        try:
            results = [_told(future.result(), is_strict) for future in running]
        except (KeyboardInterrupt, SystemExit) as end:
            for future in running:
                future.cancel()
            end_groups(interrupt=isinstance(end, SystemExit))
            raise
    passed, failed, skipped = (
        sum(getattr(result, count) for result in results)
        for count in ("passed", "failed", "skipped")
    )
    has_failed = any(not result.is_good(is_strict) for result in results)
    if as_json:
        print_json({result.name: result.as_dict() for result in results})
    stderr.print(f"{time.monotonic() - started:.0f} s")
    (stderr.print if as_json else print_line)(
        f"{passed} passed, {failed} failed, {skipped} skipped"
    )
    return FAILED if has_failed else 0


def _provide_tools(is_strict: bool) -> None:
    missing = tools.missing()
    if not missing:
        return
    command = " ".join(tools.install_command(missing))
    names = ", ".join(tool.name for tool in missing)
    if not is_strict:
        stderr.print(f"without {names}, tests are left out: sudo {command}")
        return
    if not tools.can_install():
        raise Failure(f"needs {names}", fix=f"sudo {command}", exit_code=MISSING)
    stderr.print(f"installing {names} …")
    try:
        tools.install(missing)
    except tools.InstallError as exc:
        raise Failure(f"{command}: {exc}", exit_code=MISSING) from exc


def _told(result: GroupResult, is_strict: bool) -> GroupResult:
    is_good = result.is_good(is_strict)
    if is_good:
        verdict = ("left out", "yellow") if result.is_left_out else ("ok", "green")
    else:
        verdict = ("FAILED", "red")
    stderr.print(
        Text.assemble(
            f"{result.name:12} ",
            verdict,
            f"  {result.passed} passed, {result.failed} failed,"
            f" {result.skipped} skipped, {result.seconds:.0f} s",
        )
    )
    for reason, count in Counter(result.left_out.values()).items():
        stderr.print(f"             left out: {count}: {reason}")
    for test in result.again:
        stderr.print(f"             tried again: {test}")
    if result.again or not is_good:
        stderr.print(result.output)
    return result
