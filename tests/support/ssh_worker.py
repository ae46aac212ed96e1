"""A worker machine that is reached over SSH: a real sshd on loopback, a process like any other.

It has its own host key and lets in one key of the test's; nothing of the machine's SSH is touched.
"""

import getpass
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from local.services.place import LOOPBACK, Place
from local.tools import SSH_TOOLS, install_command
from tests.support.processes import Processes, wait_until

SSHD = "/usr/sbin/sshd"
# How packages are reached from here, which a shell that comes over SSH does not know.
_HANDED_ON = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_", "REQUESTS_CA_BUNDLE")


class SshWorker:
    """Under any host name, for whoever has `home` as its home and `commands` first on its PATH."""

    def __init__(self, folder: Path, running: Processes) -> None:
        self.home = folder / "home"
        self.commands = folder / "commands"
        self.virtualenvs = folder / "virtualenvs"
        self.logs = folder / "log"
        self.user = getpass.getuser()
        for made in (self.home / ".ssh", self.commands, self.virtualenvs, self.logs):
            made.mkdir(parents=True, mode=0o700)
        port = Place(folder).port("sshd")
        for name in ("host_key", "key"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(words, check=True)
        shutil.copy(folder / "key.pub", folder / "authorized_keys")
        server = folder / "sshd_config"
        server.write_text("\n".join(_server_lines(folder, port)) + "\n", "utf-8")
        client = self.home / ".ssh" / "config"
        client.write_text("\n".join(_client_lines(folder, port)) + "\n", "utf-8")
        # OpenSSH's client asks the system where home is, not the environment.
        ssh = self.commands / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F "{client}" "$@"\n', "utf-8")
        ssh.chmod(0o700)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # it does not start without
        running.start("sshd", [SSHD, "-D", "-e", "-f", str(server)])

        def is_up() -> bool:
            assert running.is_running("sshd"), running.log_tail("sshd")
            with socket.socket() as probe:
                return probe.connect_ex((LOOPBACK, port)) == 0

        wait_until(is_up, "sshd listens", look_s=0.1)


def skip_without_ssh() -> None:
    """Skip, by name, where what `sparse` needs for a worker over SSH is missing."""
    missing = [tool for tool in SSH_TOOLS if shutil.which(tool.program) is None]
    if missing:
        names = " and ".join(tool.name for tool in missing)
        pytest.skip(f"needs {names}: sudo {' '.join(install_command(missing))}")


def _server_lines(folder: Path, port: int) -> list[str]:
    handed_on = " ".join(
        f'"{name}={value}"'
        for name, value in sorted(os.environ.items())
        if name.upper().startswith(_HANDED_ON)
    )
    return [
        f"Port {port}",
        f"ListenAddress {LOOPBACK}",
        f"HostKey {folder / 'host_key'}",
        f"AuthorizedKeysFile {folder / 'authorized_keys'}",
        "PidFile none",
        "StrictModes no",  # folders of tests lie below one that everybody may write
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "Subsystem sftp internal-sftp",
        *([f"SetEnv {handed_on}"] if handed_on else []),
    ]


def _client_lines(folder: Path, port: int) -> list[str]:
    return [
        "Host *.qold.internal",
        f"  HostName {LOOPBACK}",
        f"  Port {port}",
        f"  IdentityFile {folder / 'key'}",
        "  IdentitiesOnly yes",
        "  StrictHostKeyChecking accept-new",
        f"  UserKnownHostsFile {folder / 'known_hosts'}",
    ]
