"""The table of processes that `up` and `status` show, and where everything is."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

_STYLES = {"ready": "green", "starting": "yellow", "backing-off": "red", "stopping": "yellow"}


def shown(document: dict[str, Any]) -> Group:
    """What people see of a supervisor's state document."""
    return Group(_processes(document), Text(), _places(document))


def _processes(document: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("process", "state", "pid", "restarts", "listens"):
        table.add_column(heading, justify="right" if heading in {"pid", "restarts"} else "left")
    for process in document["processes"]:
        state = process["state"]
        table.add_row(
            process["instance"],
            Text(state, style=_STYLES.get(state, "")),
            str(process["pid"] or "-"),
            str(process["restarts"]),
            Text(_short(process["listens"], document), overflow="fold"),
        )
    return table


def _short(listens: str, document: dict[str, Any]) -> str:
    return listens.replace(f"{document['run_dir']}/", "<run>/")


def _places(document: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    ports = document["ports"]
    home = document["home"]
    rows = []
    if ports:
        rows += [
            ("web clients", f"https://localhost:{ports['edge_https']}"),
            ("", f"http://localhost:{ports['edge_http']} (loopback)"),
            ("networks", f"localhost:{ports['network']} (gRPC, mTLS)"),
            ("mesh", f"localhost:{ports['mesh']} (gRPC, mTLS)"),
            ("metrics", f"http://localhost:{ports['metrics']}/metrics/<process>"),
            ("CA", f"{home}/pki/ca.pem"),
        ]
    rows += [("home", home), ("run", document["run_dir"]), ("logs", f"{home}/logs")]
    if document["servers_dir"] != home:
        rows.append(("servers", f"{document['servers_dir']} (user {document['servers_user']})"))
    rows.append(("supervisor", f"process {document['pid']}"))
    for label, place in rows:
        table.add_row(Text(label, style="bold"), Text(place, overflow="fold"))
    return table
