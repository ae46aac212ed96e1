"""Running a demo: its view on the terminal, and what it needs where it runs on real servers."""

from pathlib import Path

from cli.console import stderr
from cli.errors import MISSING, USAGE, Failure
from local.demo import Demo
from local.demo_outcome import Outcome, Plan
from local.demo_view import LineView, LiveView
from local.demo_world import TOPOLOGIES, Stuck, World
from local.embedded import AlreadyRunning, supervisor_pid
from local.services.place import LOOPBACK, Place
from local.simulator.faults import TooShort
from local.storm_submission import SubmissionError
from local.supervision import stack_of
from qold.settings import Settings


def run(plan: Plan, world: World, *, is_recorded: bool) -> Outcome:
    """With its view on stderr; raises `Failure`."""
    view = LiveView(stderr) if stderr.is_terminal else LineView(stderr)
    with view:
        view.show_units = is_recorded
        try:
            return Demo(plan, world, view).run()
        except TooShort as exc:
            raise Failure(str(exc), exit_code=USAGE) from exc


def run_full(
    plan: Plan, settings: Settings, scale: int, keep: Path | None, *, is_recorded: bool
) -> Outcome:
    """On the servers of a state folder that `up --profile full` runs; raises `Failure`."""
    # What they load takes seconds, which the embedded demo does not have.
    from local.demo_full import FullWorld
    from local.demo_installation import DemoInstallation, ForeignServers, demo_lock
    from local.storm_cluster import ClusterAway

    def tell(text: str) -> None:
        stderr.print(f"qold: {text}")

    _check_stack(settings)
    try:
        with demo_lock(settings) as folder:
            installation = DemoInstallation(settings, keep or folder, tell)
            try:
                world = FullWorld(plan, installation, scale=scale)
                return run(plan, world, is_recorded=is_recorded)
            finally:
                if keep:
                    installation.kill()
                else:
                    installation.leave()
    except AlreadyRunning as exc:
        raise Failure(
            f"another demo runs on these servers (process {exc.pid})",
            fix="wait for it, or stop it with Ctrl-C",
            exit_code=MISSING,
        ) from exc
    except ForeignServers as exc:
        raise Failure(str(exc), fix="./qold config show", exit_code=MISSING) from exc
    except (Stuck, SubmissionError, ClusterAway) as exc:
        raise Failure(str(exc), fix=f"./qold status; see {settings.state_dir}/logs") from exc


def _check_stack(settings: Settings) -> None:
    """Raises `Failure` where the servers of the profile full do not run, or have no room."""
    from local.storm_cluster import StormCluster

    start = f"./qold up -d --profile full --state {settings.state_dir}"
    if settings.profile != "full" or not supervisor_pid(settings):
        raise Failure(
            f"the servers of --profile full do not run in {settings.state_dir}",
            fix=start,
            exit_code=MISSING,
        )
    for server in stack_of(settings).servers:
        if not server.is_ready():
            raise Failure(
                f"{server.name} is not ready", fix="./qold status tells when", exit_code=MISSING
            )
    nimbus = StormCluster(LOOPBACK, Place(settings.state_dir).port("nimbus"))
    free = sum(found.slots - found.used_slots for found in nimbus.supervisors())
    if free < len(TOPOLOGIES):
        raise Failure(
            f"Storm has {free} free slots, the demo's topologies need {len(TOPOLOGIES)}",
            fix=f"./qold down --state {settings.state_dir}; {start}",
            exit_code=MISSING,
        )
