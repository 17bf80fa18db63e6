"""How the dashboard's server is started: our app and our safe settings, whatever the current folder holds.

Streamlit takes its settings from files (of the user, of the current folder), then from ``STREAMLIT_*`` variables. Ours
are handed over as variables, and the server starts in the app's own folder, so that no file of the current one counts.
A variable that the operator has set wins; one that takes a guard away (`GUARDS`) wins only where `LOOSE` says so.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cfq_core.base.errors import BadInput
from cfq_core.base.processes import ROOT, environment, module_command

JOBS_PER_USER = 2
WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # between the words of allowedHosts
LOOSE = "CFQ_DASHBOARD_LOOSE"  # 1: the operator's variables win where they take a guard away, too
INSTALLED, CHECKOUT = "cfq_dashboard", "dashboard"  # the same package: in the wheel, and where it is written
HOSTS, THEME = "STREAMLIT_SERVER_ALLOWED_HOSTS", "STREAMLIT_THEME_"


def _is(*allowed: str) -> Callable[[str], bool]:
    return lambda value: value.strip().lower() in allowed


def _some_hosts(value: str) -> bool:
    return bool(value.split()) and "*" not in value.split()


#: Guard -> our value where the file of settings names none, and whether another one is as strict.
GUARDS: dict[str, tuple[str, Callable[[str], bool]]] = {
    HOSTS: ("127.0.0.1 localhost", _some_hosts),
    "STREAMLIT_SERVER_ENABLE_XSRF_PROTECTION": ("true", _is("true", "1")),
    "STREAMLIT_SERVER_ENABLE_CORS": ("true", _is("true", "1")),
    "STREAMLIT_SERVER_ENABLE_STATIC_SERVING": ("false", _is("false", "0")),
    "STREAMLIT_SERVER_ENABLE_AGENT_API": ("false", _is("false", "0")),
    "STREAMLIT_GLOBAL_DEVELOPMENT_MODE": ("false", _is("false", "0")),
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": ("false", _is("false", "0")),
    "STREAMLIT_CLIENT_SHOW_ERROR_DETAILS": ("type", _is("type", "none")),
    "STREAMLIT_CLIENT_TOOLBAR_MODE": ("viewer", _is("viewer", "minimal")),
    "STREAMLIT_CLIENT_ALLOWED_ORIGINS": ("", lambda value: not value.split()),
}


@dataclass(frozen=True)
class Server:
    """What the command line says of the server."""

    port: int = 8501
    address: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()  # names that people open it by, beside this machine's own
    base_path: str = ""  # behind a proxy: where it stands below the host
    workspaces: bool = False  # each user has tables, studies and jobs of their own
    jobs_per_user: int | None = None  # that run at once in a workspace, the others wait; None: 2
    user_header: str = ""  # which a proxy sets to who it is; empty: a cookie tells browsers apart
    store: Path = field(default_factory=lambda: Path(os.environ.get("CFQ_STORE", ".cfq")))


def app_file() -> Path:
    """The app that is started: of this installation or this checkout, never of the current folder."""
    for package in (INSTALLED, CHECKOUT):
        if (found := ROOT / package / "app.py").is_file():
            return found
    raise BadInput("the dashboard is not installed beside the engine: pip install cfq")


def command(server: Server) -> list[str]:
    """What is executed."""
    if not re.fullmatch(r"(/?[A-Za-z0-9._~-]+)*/?", server.base_path):
        raise BadInput(f'--base-path "{server.base_path}": letters, digits and / only, such as tools/cfq')
    place = ["--server.port", str(server.port), "--server.address", server.address]
    base = ["--server.baseUrlPath", server.base_path.strip("/")] if server.base_path else []
    return module_command("streamlit", "run", str(app_file()), *place, *base)


def variables(server: Server, operator: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The server's environment, and a line for each thing the operator may not expect."""
    ours = {name: value for name, (value, _) in GUARDS.items()} | _flat(tomllib.loads(_settings_file().read_text()))
    if server.hosts:
        ours[HOSTS] = " ".join([*ours[HOSTS].split(), *server.hosts])
    told, result = [], environment() | {k: v for k, v in operator.items() if k.startswith(("STREAMLIT_", "CFQ_"))}
    for name, value in ours.items():
        said, (_, strict) = operator.get(name), GUARDS.get(name, ("", lambda _: True))
        if said is None or not (strict(said) or operator.get(LOOSE) == "1"):
            result[name] = value
            if said is not None:
                told.append(f'{name}="{said}" takes a guard away and is not used; {LOOSE}=1 says that it shall be')
    for name in ("CFQ_STORE", "CFQ_DATA_DIR", "CFQ_GALLERY"):  # the server starts in another folder
        if folder := operator.get(name):
            result[name] = str(Path(folder).absolute())
    result["CFQ_STORE"] = str(server.store.absolute())
    result |= _workspaces(server)
    return result, [*told, *_about(server, result)]


def _workspaces(server: Server) -> dict[str, str]:
    """Said by the command line alone, whatever variables are set."""
    if server.user_header and not server.workspaces:
        raise BadInput("--user-header: says whose workspace it is; give --workspaces too")
    if not re.fullmatch(r"[A-Za-z0-9-]{0,80}", server.user_header):
        raise BadInput(f'--user-header "{server.user_header}": letters, digits and dashes, such as X-Forwarded-User')
    if server.jobs_per_user and not server.workspaces:
        raise BadInput("--jobs-per-user: is of a workspace; give --workspaces too")
    jobs = str(server.jobs_per_user or JOBS_PER_USER) if server.workspaces else ""
    return {
        "CFQ_WORKSPACES": "1" if server.workspaces else "",
        "CFQ_USER_HEADER": server.user_header,
        "CFQ_JOBS_PER_USER": jobs,
    }


def _about(server: Server, given: Mapping[str, str]) -> list[str]:
    """What an operator would else find out by a page that does not load."""
    told = []
    if Path(".streamlit/config.toml").is_file() and Path.cwd() != ROOT:
        told.append(".streamlit/config.toml of this folder is not read; settings are variables: STREAMLIT_SERVER_...")
    if not _loopback(server.address) and set(given[HOSTS].split()) <= {"127.0.0.1", "localhost", server.address}:
        told.append("only this machine may open it: name what people type with --host cfq.example.org")
    return told


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _settings_file() -> Path:
    shipped = app_file().parent / "settings.toml"
    return shipped if shipped.is_file() else ROOT / ".streamlit" / "config.toml"


def _flat(values: Mapping[str, Any], prefix: str = "STREAMLIT") -> dict[str, str]:
    """Settings as variables: ``server.allowedHosts`` is ``STREAMLIT_SERVER_ALLOWED_HOSTS``.

    Streamlit takes a list apart at white space, but a theme's colours are read as JSON.
    """
    out = {}
    for key, value in values.items():
        name = f"{prefix}_{WORDS.sub('_', key).upper()}"
        if isinstance(value, dict):
            out.update(_flat(value, name))
        elif isinstance(value, bool):
            out[name] = str(value).lower()
        elif isinstance(value, list):
            out[name] = json.dumps(value) if name.startswith(THEME) else " ".join(map(str, value))
        else:
            out[name] = str(value)
    return out
