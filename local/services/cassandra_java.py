"""What the Java of one Cassandra node is started with."""

from pathlib import Path

HEAP = "768m"
_EXPORTS = {
    "java.base": "jdk.internal.misc jdk.internal.ref java.lang.ref sun.nio.ch",
    "java.management.rmi": "com.sun.jmx.remote.internal.rmi",
    "java.rmi": "sun.rmi.registry sun.rmi.server",
    "java.sql": "java.sql",
    "jdk.unsupported": "sun.misc",
    "jdk.compiler": "com.sun.tools.javac.file",
    "jdk.attach": "sun.tools.attach",
}
_OPENS = {
    "java.base": (
        "java.lang.module jdk.internal.loader jdk.internal.ref jdk.internal.reflect"
        " jdk.internal.math jdk.internal.module jdk.internal.util.jar sun.nio.ch java.io java.nio"
        " java.lang java.lang.reflect java.util java.util.concurrent java.util.concurrent.atomic"
    ),
    "jdk.management": "com.sun.management.internal",
    "jdk.compiler": "com.sun.tools.javac",
}


def java_options(folder: Path, lib: Path) -> list[str]:
    """One node needs no gossip to settle and no ring to wait for."""
    modules = [
        f"--add-{kind}={module}/{package}=ALL-UNNAMED"
        for kind, packages in (("exports", _EXPORTS), ("opens", _OPENS))
        for module, names in packages.items()
        for package in names.split()
    ]
    (jamm,) = lib.glob("jamm-*.jar")
    properties = {
        "jdk.attach.allowAttachSelf": "true",
        "io.netty.tryReflectionSetAccessible": "true",
        "java.io.tmpdir": folder / "tmp",
        "logback.configurationFile": folder / "logback.xml",
        "cassandra.config": f"file://{folder / 'cassandra.yaml'}",
        "cassandra.storagedir": folder,
        "cassandra.logdir": folder / "tmp",
        "cassandra-foreground": "yes",
        "cassandra.skip_wait_for_gossip_to_settle": 0,
        "cassandra.ring_delay_ms": 0,
        "cassandra.superuser_setup_delay_ms": 0,
        # Passwords here are 24 random bytes, which no work factor makes safer. With the usual one,
        # sixty processes that connect again after a pause keep the node from ever answering.
        "cassandra.auth_bcrypt_gensalt_log2_rounds": 4,
    }
    return [
        f"-Xms{HEAP}",
        f"-Xmx{HEAP}",
        "-Xss256k",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        f"-javaagent:{jamm}",
        *modules,
        *(f"-D{name}={value}" for name, value in properties.items()),
        f'-cp "{lib}/*"',
    ]
