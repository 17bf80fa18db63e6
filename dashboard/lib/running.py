"""Background studies on a page: progress, log, Cancel; the timer is the browser's and stops when nothing is live."""

from __future__ import annotations

import time
from pathlib import Path

import streamlit as st

from cfq_core.study import jobs
from dashboard.lib import pages, state, ui, work

EVERY = 1.0  # seconds between two looks
WORDS = {
    jobs.QUEUED: "waiting for a free core",
    jobs.RUNNING: "running",
    jobs.DONE: "done",
    jobs.FAILED: "failed",
    jobs.CANCELLED: "cancelled",
}


def panel() -> None:
    """All recent background studies, live ones updated each second."""
    live = any(j.live for j in work.recent())
    st.fragment(_rows, run_every=EVERY if live else None)(live)


def _rows(live: bool) -> None:
    found = work.recent()
    for job in found:
        with st.container(border=True, key=f"job-{job.id}"):
            _row(job)
    if live and not any(j.live for j in found):
        st.rerun()  # a whole run: stops the timer, lists the new study


def _row(job: jobs.Job) -> None:
    about, button = st.columns([5, 1], vertical_alignment="center")
    about.markdown(f"**{_title(job)}** · {WORDS[job.state]}{_when(job)}")
    if job.live:
        share = job.done / job.total if job.total else 0.0
        about.progress(share, text=ui.escape(f"{job.done} of {job.total or '?'} tasks · {job.what or 'starting'}"))
        button.button("Cancel", key=f"cancel-{job.id}", on_click=work.stop, args=(job.id,), width="stretch")
    elif job.state == jobs.DONE and job.study:
        opened = button.button(
            "Open", key=f"open-{job.id}", on_click=state.choose, kwargs={"study": job.study}, width="stretch"
        )
        if opened:
            st.switch_page(pages.page("answer"))
    elif job.state == jobs.FAILED:
        ui.failed(job.error or "failed")
    with st.expander("Log", icon=":material/terminal:", expanded=job.state == jobs.FAILED):
        st.code(job.last_lines() or "nothing yet", language=None)


def _title(job: jobs.Job) -> str:
    tables = ", ".join(Path(d).parent.name if d.endswith(".toml") else d for d in job.datasets)
    if job.kind == jobs.AUDIT:
        return ui.escape(f"Audit of {job.given['student']['name']} against {job.given['teacher']['name']} on {tables}")
    methods = job.given.get("methods") or []
    shown = methods if isinstance(methods, str) else ", ".join(map(str, methods[:3])) + " …" * (len(methods) > 3)
    return ui.escape(job.given.get("name") or (f"{tables}: {shown}" if tables else job.id))


def _when(job: jobs.Job) -> str:
    ran = f" · {job.seconds:,.0f} s" if job.started else ""
    return f"{ran} · {time.strftime('%d %b %H:%M', time.localtime(job.created))}"
