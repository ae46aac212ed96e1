"""The programs of the distribution that the stack needs: which are missing, and what provides them."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

LEAST_JAVA = 17


@dataclass(frozen=True, slots=True)
class Tool:
    """A program, the Debian package that provides it, and the profiles that need it, if not a test."""

    program: str
    name: str
    package: str
    profiles: frozenset[str]


SERVERS = frozenset({"kafka", "thesis", "storage", "full"})
STORAGE = frozenset({"storage", "full"})
STORM = frozenset({"full"})
SSH_TOOLS = (
    Tool("/usr/sbin/sshd", "OpenSSH server", "openssh-server", frozenset()),
    Tool("virtualenv", "virtualenv", "virtualenv", frozenset()),
)
"""What a machine has on which `sparse` installs virtualenvs; here it stands for one in a test."""
TOOLS = (
    Tool("java", f"JDK {LEAST_JAVA}", "openjdk-17-jdk-headless", SERVERS),
    Tool("javac", "Java compiler", "openjdk-17-jdk-headless", SERVERS),
    Tool("mvn", "Maven", "maven", SERVERS),
    Tool("lein", "Leiningen", "leiningen", STORM),
    Tool("ps", "ps", "procps", STORM),
    Tool("nginx", "nginx", "nginx-light", STORAGE),
    Tool("redis-server", "redis-server", "redis-server", STORAGE),
    *SSH_TOOLS,
)


class InstallError(RuntimeError):
    """Packages could not be installed; the text is what apt-get said last."""


def problem(tool: Tool) -> str:
    """Why a tool cannot be used, empty if it can."""
    if shutil.which(tool.program) is None:
        return "not there"
    if tool.program == "java":
        found = java_version()
        if found < LEAST_JAVA:
            return f"Java {found} is too old"
    return ""


def java_version() -> int:
    """The feature version of the java on the PATH, 0 if it does not say."""
    done = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    return int(match[1]) if match else 0


def missing() -> list[Tool]:
    """Every tool that cannot be used."""
    return [tool for tool in TOOLS if problem(tool)]


def install_command(tools: Iterable[Tool]) -> list[str]:
    """What provides these."""
    packages = sorted({tool.package for tool in tools})
    return ["apt-get", "install", "-y", "--no-install-recommends", *packages]


def can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(tools: Iterable[Tool]) -> None:
    """Install what provides these, as root; raises `InstallError`."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], install_command(tools)):
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        # Lists that cannot be renewed may still do; what they do not name fails to install.
        if done.returncode != 0 and command[1] == "install":
            raise InstallError(done.stdout.strip()[-500:])
