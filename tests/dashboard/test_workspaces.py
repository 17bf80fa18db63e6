"""``cfq dashboard --workspaces``: two users see nothing of each other but what is shared, for as long as it is."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from streamlit.testing.v1 import AppTest

from cfq_core.base import logbook
from cfq_core.base.errors import BadInput
from cfq_core.base.shipped import shipped
from cfq_core.commands.server import Server, variables
from cfq_core.datasets.card import read_card
from cfq_core.export import pairs
from cfq_core.export.audit import AuditOptions, audit_pair
from cfq_core.models.read import parse_model
from cfq_core.report import by_file
from cfq_core.study import jobs
from dashboard.lib import data, workspace
from tests.dashboard.conftest import SCRIPT
from tests.export.conftest import CARD
from tests.report.test_by_file import SAID, files_of

HEADER = "X-Forwarded-User"
Visit = Callable[..., AppTest]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server's store with workspaces by a proxy's header, and an empty gallery."""
    monkeypatch.setenv("CFQ_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("CFQ_GALLERY", str(tmp_path / "empty"))
    monkeypatch.setenv(workspace.ON, "1")
    monkeypatch.setenv(workspace.USER_HEADER, HEADER)
    return tmp_path / "store"


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Visit:
    """A page as a user opens it: with these values of the header, this cookie and this address."""

    def visit_(
        *users: str, cookie: str | None = None, page: str = "", at: AppTest | None = None, **query: str
    ) -> AppTest:
        monkeypatch.setattr(workspace, "sent", lambda header: list(users) if header == HEADER else [])
        monkeypatch.setattr(workspace, "cookie", lambda: cookie)
        at = at or AppTest.from_file(str(SCRIPT), default_timeout=120)
        for key, value in query.items():
            at.query_params[key] = value
        at.run()
        if page:
            at.switch_page(f"../pages/{page}.py").run()
        assert not at.exception
        return at

    return visit_


def home(store: Path, user: str) -> Path:
    """A user's workspace."""
    return store / workspace.FOLDER / hashlib.sha256(f"user\0{user}".encode()).hexdigest()[:32]


def shown(at: AppTest) -> str:
    """Every text of a page."""
    kinds = (at.markdown, at.caption, at.text, at.error, at.warning, at.info, at.code)
    boxes = [str(o) for s in at.selectbox for o in s.options]
    return "\n".join([str(e.value) for kind in kinds for e in kind] + boxes)


def keep_table(at: AppTest, name: str) -> None:
    """Upload the example and say what only a person can."""
    content = (shipped("cards") / "example.csv").read_bytes()
    at.file_uploader(key="own-csv").upload(name, content, "text/csv").run()
    at.selectbox(key="own-target").select("approved").run()
    at.multiselect(key="own-favourable-approved").select("yes").run()
    at.button(key="own-keep").click().run()


def test_two_users_see_nothing_of_each_other(
    store: Path, own_study: Path, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(own_study, home(store, "ann"))
    started: list[Path] = []
    monkeypatch.setattr(jobs, "submit", lambda folder, *_: started.append(folder))
    ann = visit("ann", page="study")
    (study,) = [o for s in ann.selectbox if s.key == "to-open" for o in s.options]
    keep_table(ann, "annstable.csv")
    assert not ann.exception and "annstable" in shown(ann) and "workspace of ann" in shown(ann)
    ben = visit("ben", page="study")
    assert study not in shown(ben) and "annstable" not in shown(ben) and "No study yet" in shown(ben)
    assert not home(store, "ben").exists() and list(home(store, "ann").glob("cards/*/card.toml"))
    assert {p.name for p in store.iterdir()} == {workspace.FOLDER, logbook.FILE, logbook.HEAD}
    event = logbook.events(store)[-1]
    assert (event["user"], event["action"]) == ("ann", logbook.UPLOAD)
    assert (
        hashlib.sha256((next(home(store, "ann").glob("cards/*/table.csv"))).read_bytes()).hexdigest()
        in event["files"].values()
    )


def test_a_link_shares_a_study_until_it_is_stopped(store: Path, own_study: Path, visit: Visit) -> None:
    shutil.copytree(own_study, home(store, "ann"))
    ann = visit("ann")
    study = ann.session_state["study"]
    assert "No study yet" in shown(visit("ben", study=study)), "its id alone opens nothing"
    visit("ann", at=ann).button(key="share").click().run()
    link = next(c.value for c in ann.code if "shared=" in c.value)
    token = link.partition("shared=")[2]
    assert "/" not in token and home(store, "ann").name not in link and "ann" not in link.partition("?")[2]
    ben = visit("ben", shared=token)
    assert ben.session_state["study"] == study and "Shared with you" in shown(ben) and not ben.error
    assert not [b for b in ben.button if b.key in ("share", "unshare")], "only its owner shares it"
    assert not home(store, "ben").exists()
    before = {p: p.read_bytes() for p in home(store, "ann").rglob("*") if p.is_file()}
    for page in ("person", "report", "study"):
        visit("ben", at=ben, page=page)
    assert before == {p: p.read_bytes() for p in before}, "what is shared is only read"
    visit("ann", at=ann).button(key="unshare").click().run()
    visit("ben", at=ben)
    assert [e.value for e in ben.error] == ["This study is not shared with you."] and study not in shown(ben)
    assert [e.value for e in visit("cid", shared=token).error] == ["This study is not shared with you."]
    assert [e["action"] for e in logbook.events(store)][-2:] == [logbook.SHARE, logbook.UNSHARE]
    assert token not in (store / logbook.FILE).read_text() and not logbook.problems(store)


def test_an_audited_file_is_asked_by_its_owner_and_by_whom_the_study_is_shared_with(store: Path, visit: Visit) -> None:
    """It lies in the study: nobody names a path, and who may not open the study has no file to ask."""
    (name, said), table = next(iter(SAID.items())), read_card(CARD)
    files = (parse_model(u.content, u.name) for u in files_of(name, table))
    audit = audit_pair(table, *files, AuditOptions(people=20, n_reaudited=5, **said))
    study = pairs.keep_of(home(store, "ann"), str(CARD), audit)
    ann = visit("ann", page="person")
    assert "FP32 **refuses** at logit" in shown(ann) and not ann.error
    assert "No study yet" in shown(visit("ben", study=study, page="person")), "its id alone opens nothing"
    visit("ann", at=ann).button(key="share").click().run()
    token = next(c.value for c in ann.code if "shared=" in c.value).partition("shared=")[2]
    ben = visit("ben", shared=token, page="person")
    assert "FP32 **refuses** at logit" in shown(ben) and not ben.error and not home(store, "ben").exists()
    by_file.close()


@pytest.mark.parametrize("token", ["../../etc/passwd", "x" * 10_000, "<script>alert(1)</script>", "", "A" * 43, "\0"])
def test_a_link_that_shares_nothing_is_one_line(token: str, store: Path, visit: Visit) -> None:
    at = visit("ben", shared=token)
    assert [e.value for e in at.error] == ["This study is not shared with you."] and not store.exists()


@pytest.mark.parametrize(
    "users", [(), ("",), ("  ",), ("ann", "ben"), ("x" * 10_000,), ("a\x1b[31m",), ("a\0b",), ("a\nb",), ("\u202eann",)]
)
def test_who_cannot_be_told_apart_is_refused_in_one_line(users: tuple[str, ...], store: Path, visit: Visit) -> None:
    at = visit(*users)
    assert len(at.error) == 1 and HEADER in at.error[0].value and "\n" not in at.error[0].value
    assert not at.selectbox and not store.exists()


@pytest.mark.parametrize(
    "user", ["../../", "/etc/passwd", "<script>alert(1)</script>", "..", "a" * 256, "![x](http://x)"]
)
def test_a_hostile_name_stays_in_its_folder(user: str, store: Path, visit: Visit) -> None:
    at = visit(user, page="study")
    assert not at.error and " <script>" not in shown(at) and "![x](" not in shown(at)
    keep_table(at, "t.csv")
    assert list(home(store, user).glob("cards/*/card.toml"))
    assert {p.name for p in store.parent.iterdir()} <= {"store", "empty"}
    assert [p.parent for p in home(store, user).parent.iterdir()] == [store / workspace.FOLDER]


def test_a_header_counts_only_where_the_operator_says_so(
    store: Path, own_study: Path, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(own_study, home(store, "ann"))
    study = visit("ann").session_state["study"]
    monkeypatch.setenv(workspace.USER_HEADER, "")
    assert "No study yet" in shown(visit("ann")), "workspaces of browsers: the header has no effect"
    monkeypatch.setenv(workspace.ON, "")
    monkeypatch.setenv(workspace.USER_HEADER, HEADER)
    at = visit("ann", page="study")
    assert study not in shown(at) and workspace.SEEN_BY_ALL in shown(at)
    given, _ = variables(Server(), {workspace.ON: "1", workspace.USER_HEADER: HEADER})
    assert given[workspace.ON] == "" and given[workspace.USER_HEADER] == ""
    given, _ = variables(Server(workspaces=True, user_header=HEADER), {})
    assert given["CFQ_JOBS_PER_USER"] == "2"
    assert given[workspace.ON] == "1" and given[workspace.USER_HEADER] == HEADER
    for wrong in (Server(jobs_per_user=1), Server(user_header=HEADER), Server(workspaces=True, user_header="a: b")):
        with pytest.raises(BadInput, match=r"--jobs-per-user: |--user-header"):
            variables(wrong, {})


def test_browsers_are_told_apart_by_a_cookie_and_a_reload_keeps_it(
    store: Path, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(workspace.USER_HEADER, "")
    at = visit(cookie="a" * 43, page="study")
    keep_table(at, "mytable.csv")
    assert "mytable" in shown(visit(cookie="a" * 43, page="study"))
    for other in ("b" * 43, "../../x", None, ""):
        assert "mytable" not in shown(visit(cookie=other, page="study"))
    assert "keeps no cookie" in shown(visit(page="study"))
    assert "a" * 43 not in "".join(str(p) for p in store.rglob("*"))


def answer(path: str, cookie: str = "", proto: str = "") -> list[str]:
    """The cookies that an answer sets."""
    out: list[Any] = []
    headers = [(b"host", b"localhost"), (b"cookie", cookie.encode()), (b"x-forwarded-proto", proto.encode())]
    scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "query_string": b"", "scheme": "http"}

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        out.append(message)

    app = workspace.GivesCookie(PlainTextResponse("page"), frozenset({"/cfq/", "/cfq/study"}), "/cfq")
    asyncio.run(app(scope, receive, send))
    return [v.decode() for k, v in out[0]["headers"] if k == b"set-cookie"]


def test_a_page_gives_a_browser_one_cookie_that_no_script_reads(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not answer("/cfq/"), "by header none is needed"
    monkeypatch.setenv(workspace.USER_HEADER, "")
    (one,), (two,) = answer("/cfq/"), answer("/cfq/study", "cfq_workspace=weak")
    assert "HttpOnly" in one and "SameSite=Lax" in one and "Path=/cfq;" in one and "Secure" not in one and one != two
    assert "Secure" in answer("/cfq/", proto="https")[0]
    assert not answer("/cfq/", one.partition(";")[0]) and not answer("/cfq/_stcore/health")
    monkeypatch.setenv(workspace.ON, "")
    assert not answer("/cfq/")


def test_a_servers_own_threads_belong_to_nobody(store: Path, own_study: Path) -> None:
    shutil.copytree(own_study, store)
    assert data.studies() == []
    with pytest.raises(BadInput):
        data.own_store()
