"""How the dashboard is started: our settings as variables, the operator's where they guard as well, no folder's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from cfq_core.base.errors import BadInput
from cfq_core.base.processes import ROOT, environment, module_command
from cfq_core.commands import server
from cfq_core.commands.server import GUARDS, HOSTS, LOOSE, Server, variables


def test_lists_are_handed_over_as_streamlit_reads_them() -> None:
    given, told = variables(Server(), {})
    assert given[HOSTS] == "127.0.0.1 localhost" and given["STREAMLIT_CLIENT_ALLOWED_ORIGINS"] == ""
    assert given["STREAMLIT_THEME_LIGHT_PRIMARY_COLOR"] == "#005A8C"
    assert json.loads(given["STREAMLIT_THEME_CHART_CATEGORICAL_COLORS"])[0] == "#D55E00"
    assert given["STREAMLIT_SERVER_ENABLE_XSRF_PROTECTION"] == "true" and not told
    assert all(strict(given[name]) for name, (_, strict) in GUARDS.items())


#: Settings of what the lowest version that is allowed does not have.
SINCE = {"STREAMLIT_SERVER_ENABLE_AGENT_API": (1, 67)}


def test_names_are_streamlits_own() -> None:
    from streamlit import config

    known = {o.env_var for o in config.get_config_options().values()}
    given, _ = variables(Server(), {})
    installed = tuple(int(n) for n in version("streamlit").split(".")[:2])
    later = {name for name, since in SINCE.items() if installed < since}
    assert {n for n in given if n.startswith("STREAMLIT_")} - later <= known | set(os.environ)


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_is_taken_away_only_where_it_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loose = "full" if "DETAILS" in name else "developer" if "TOOLBAR" in name else "*"
    loose = "false" if GUARDS[name][0] == "true" else "true" if GUARDS[name][0] == "false" else loose
    given, told = variables(Server(), {name: loose})
    assert given[name] != loose and len(told) == 1 and name in told[0] and LOOSE in told[0]
    given, told = variables(Server(), {name: loose, LOOSE: "1"})
    assert given[name] == loose and not told


def test_the_operators_own_settings_win() -> None:
    own = {HOSTS: "cfq.example.org", "STREAMLIT_SERVER_MAX_UPLOAD_SIZE": "5", "STREAMLIT_THEME_PRIMARY_COLOR": "#111"}
    given, told = variables(Server(), own)
    assert {k: given[k] for k in own} == own and not told


def test_names_to_open_it_by_are_added() -> None:
    given, told = variables(Server(address="0.0.0.0", hosts=("cfq.example.org",)), {})
    assert given[HOSTS] == "127.0.0.1 localhost cfq.example.org" and not told
    assert "--host" in variables(Server(address="0.0.0.0"), {})[1][0]


def test_folders_are_named_whole_and_a_folders_settings_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".streamlit").mkdir()
    Path(".streamlit/config.toml").write_text("[server]\nenableCORS = false\n")
    given, told = variables(Server(store=Path("results")), {"CFQ_DATA_DIR": "tables"})
    assert given["CFQ_STORE"] == str(tmp_path / "results") and given["CFQ_DATA_DIR"] == str(tmp_path / "tables")
    assert given["STREAMLIT_SERVER_ENABLE_CORS"] == "true" and "not read" in told[0]


def test_our_app_is_started_and_our_modules_whatever_the_folder_holds(tmp_path: Path) -> None:
    for name in ("dashboard", "cfq_core", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken over')")
    run = server.command(Server(port=1234, base_path="/tools/cfq/"))
    assert run[:4] == [sys.executable, "-P", "-m", "streamlit"] and str(ROOT / "dashboard" / "app.py") in run
    assert run[-2:] == ["--server.baseUrlPath", "tools/cfq"]
    ran = subprocess.run(module_command("cfq_core.cli", "parts", "solvers"), cwd=tmp_path, env=environment(),
                         capture_output=True, text=True)  # fmt: skip
    assert "taken over" not in ran.stderr + ran.stdout


@pytest.mark.parametrize("path", ["../x", "a b", "x?y", "http://evil", "<script>"])
def test_a_base_path_is_a_path(path: str) -> None:
    if path == "../x":
        assert server.command(Server(base_path=path))[-1] == "../x"  # dots are letters of a path; a proxy decides
        return
    with pytest.raises(BadInput, match="--base-path"):
        server.command(Server(base_path=path))
