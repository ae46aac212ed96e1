"""nginx in front of KairosDB: HTTPS, client certificates, and who may do what (source 5.4.1.7).

It answers to the names of its certificate only, and to no web page. KairosDB's password stands in
`nginx.conf`, mode 600.

`python -m local.services.nginx CONF` becomes nginx, after the workers of one that was killed: they
would go on listening without a master.
"""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.programs import Program
from local.services.authority import LOOPBACK as NAMES
from local.services.kairosdb import authorization
from local.services.place import LOOPBACK, Place
from local.services.servers import Tell
from qold.private_files import make_folder, write_private

WRITER, READER = "datapoints", "qold-app"
PID_FILE = "nginx.pid"
CALL_S = 3.0

_CONF = """\
daemon off;
pid %(folder)s/nginx.pid;
error_log stderr warn;
worker_processes 2;
events { worker_connections 512; }

http {
  access_log off;
  log_format refused '$time_iso8601 $status $request_method $uri $remote_addr "$ssl_client_s_dn"';
  server_tokens off;
  default_type application/json;
  # Bodies stay in memory: the workers have no folder of their own.
  client_max_body_size 4m;
  client_body_buffer_size 4m;
  client_body_temp_path %(folder)s/temp/body;
  proxy_temp_path %(folder)s/temp/proxy;
  fastcgi_temp_path %(folder)s/temp/fastcgi;
  uwsgi_temp_path %(folder)s/temp/uwsgi;
  scgi_temp_path %(folder)s/temp/scgi;
  proxy_max_temp_file_size 0;

  # What a certificate may: 2 writes and reads, 1 reads, 0 nothing at all.
  map "$ssl_client_verify $ssl_client_s_dn" $rank {
    default 0;
    "SUCCESS CN=%(writer)s,OU=services,O=Qold" 2;
    "SUCCESS CN=%(reader)s,OU=services,O=Qold" 1;
  }
  map $rank $may_not_write { default 1; 2 0; }
  map $rank $may_not_read { default 1; 1 0; 2 0; }
  map $status $is_refusal { default 0; ~^4 1; }
  # Names under which a client may ask; a web page whose name resolves to this machine has another.
  map $host $is_foreign {
    default 1;
%(names)s
  }
  map $http_origin $is_page { default 1; "" 0; }

  upstream kairosdb {
    server 127.0.0.1:%(kairosdb)d max_fails=0;
    keepalive 16;
    keepalive_timeout 60s;  # KairosDB closes after 120 s
  }

  server {
    listen 127.0.0.1:%(port)d ssl;
    access_log /dev/stdout refused if=$is_refusal;

    ssl_certificate %(chain)s;
    ssl_certificate_key %(key)s;
    ssl_client_certificate %(ca)s;
    ssl_verify_client on;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:readings:1m;
    keepalive_requests 100000;
    keepalive_timeout 90s;

    if ($is_foreign) { return 421 '{"errors":["this Host is not served here"]}'; }
    if ($is_page) { return 403 '{"errors":["not from a web page"]}'; }

    error_page 403 =403 @refused;
    error_page 404 405 =403 @refused;
    error_page 495 =403 @bad_certificate;
    error_page 496 =403 @no_certificate;
    location @refused { return 403 '{"errors":["not with this certificate"]}'; }
    location @bad_certificate { return 403 '{"errors":["this certificate is not valid here"]}'; }
    location @no_certificate { return 403 '{"errors":["a client certificate is needed"]}'; }

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host 127.0.0.1:%(kairosdb)d;
    proxy_set_header Authorization "%(authorization)s";
    # A process that takes KairosDB's port while it is down must not get the password.
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate %(ca)s;
    proxy_ssl_name localhost;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;
    proxy_hide_header Access-Control-Allow-Origin;
    proxy_connect_timeout 2s;
    proxy_send_timeout 8s;
    proxy_read_timeout 8s;

    location = /api/v1/datapoints {
      limit_except POST { deny all; }
      if ($may_not_write) { return 403; }
      proxy_pass https://kairosdb;
    }
    location ~ ^/api/v1/datapoints/query(/tags)?$ {
      limit_except POST { deny all; }
      if ($may_not_read) { return 403; }
      proxy_pass https://kairosdb;
    }
    location ~ ^/api/v1/(health/check|version|metricnames)$ {
      limit_except GET { deny all; }
      if ($may_not_read) { return 403; }
      proxy_pass https://kairosdb;
    }
    # Nobody deletes from outside.
    location / { return 403; }
  }
}
"""


class Nginx:
    """nginx for the KairosDB at a port of this machine; `names` are the Hosts that it serves."""

    name = "nginx"
    tools: Mapping[str, str] = {"nginx": "nginx-light"}

    def __init__(self, place: Place, *, kairosdb_port: int, names: Sequence[str] = NAMES) -> None:
        self._place = place
        self._names = names
        self._kairosdb_port = kairosdb_port
        self.port = place.port(self.name)

    @property
    def readings_url(self) -> str:
        """For the setting of this name."""
        return f"kairosdb+https://{LOOPBACK}:{self.port}"

    def prepare(self, tell: Tell) -> Program:
        folder = self._place.folder(self.name)
        make_folder(folder / "temp")
        own = self._place.authority.certificate(self.name, unit="servers", hosts=self._names)
        for client in (WRITER, READER):
            self._place.authority.certificate(client, unit="services")
        conf = folder / "nginx.conf"
        write_private(
            conf,
            _CONF
            % {
                "folder": folder,
                "port": self.port,
                "kairosdb": self._kairosdb_port,
                "authorization": authorization(self._place),
                "names": "\n".join(f'    "{name}" 0;' for name in self._names),
                "chain": own.chain,
                "key": own.key,
                "ca": own.ca,
                "writer": WRITER,
                "reader": READER,
            },
        )
        return Program(
            self.name, (sys.executable, "-m", "local.services.nginx", str(conf)), stop_s=10.0
        )

    def is_ready(self) -> bool:
        context = ssl.create_default_context(cafile=str(self._place.authority.ca))
        try:
            with (
                socket.create_connection((LOOPBACK, self.port), CALL_S) as plain,
                context.wrap_socket(plain, server_hostname=LOOPBACK),
            ):
                return True
        except OSError:
            return False

    def settle(self) -> None:
        """Nothing is left to do."""

    def addresses(self) -> Mapping[str, str]:
        return {"time series, with a client certificate": f"https://{LOOPBACK}:{self.port}"}


def become(conf: Path) -> None:
    """End what an nginx that was killed has left behind, then be nginx."""
    pid_file = conf.parent / PID_FILE
    if pid_file.exists():
        group = int(pid_file.read_text("ascii").strip() or 0)
        while workers := _workers(group):
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
    command = shutil.which("nginx") or "/usr/sbin/nginx"
    os.execv(command, [command, "-p", str(conf.parent), "-e", "stderr", "-c", str(conf)])  # noqa: S606  # none wanted


def _workers(group: int) -> list[int]:
    """Processes of nginx that live in this process group, whose leader was the master."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (path / "stat").read_text("utf-8", "replace").rpartition(")")
        except OSError:
            continue  # it has just ended
        state, _, its_group, *_ = rest.split()
        if name.endswith("(nginx") and state != "Z" and int(its_group) == group:
            found.append(int(path.name))
    return found


if __name__ == "__main__":
    become(Path(sys.argv[1]))
