"""`python -m local.services [--port N]`: the stand-in services until Ctrl-C."""

import argparse
import logging
import signal

from local.services.server import StandIn
from qold.plain_logs import keep_logs_plain

log = logging.getLogger("local.services")


def main() -> None:
    parser = argparse.ArgumentParser(prog="local.services", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    arguments = parser.parse_args()
    keep_logs_plain()
    logging.basicConfig(format="%(message)s", level="INFO")
    stops = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # in the server's threads, too
    with StandIn(port=arguments.port) as stand_in:
        log.info("qold-app, qold-sms, keen and qold-hw-api at http://%s", stand_in.netloc)
        signal.sigwait(stops)


if __name__ == "__main__":
    main()
