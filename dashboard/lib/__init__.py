"""What every page stands on. To add a page, add one file to ``dashboard/pages/`` (at most 80 lines):

    \"\"\"Margins: how far inside the boundary promises land.\"\"\"
    import streamlit as st
    from dashboard.lib import state, ui
    from dashboard.lib.page import Page

    def body() -> None:
        sel = state.selected()                  # what is chosen in the sidebar and the URL
        if sel is None:
            return ui.nothing_stored()          # says which button makes a study
        ui.head("Margins", "One sentence with its number and how sure it is.", terms=("margin condition", "VD"))
        ui.picture("margins", sel, dataset=sel.dataset, run=sel.run or "")   # chart, alt, table, CSV and Parquet

    PAGE = Page(order=5, title="Margins", question="Why?", icon="align_end", body=body)
    # the file's name is the address
    PAGE.draw(__name__)

A picture is a file ``cfq_core/report/charts/NAME.py`` ending in ``PICTURE = Picture(title, rows, chart, alt, note)``:
``rows(study, **options)`` gives the tidy table, ``chart(rows, **options)`` an altair chart with `palette`'s explicit
scales, ``alt(rows, **options)`` its takeaway in words. Options are str, int, float, bool or None: they are the cache's
key. Everything of a picture is then found by the page, the HTML report and the tests without being listed.

``ui.picture(..., people=targets.MODEL)`` makes its marks open the people behind them. What moves in the browser without
the server is a component: ``component.mount(NAME, data, key)`` draws ``dashboard/static/NAME.js``.

`state.selected()` gives a `Selection`; `sel.study` is a `cfq_core.report.frames.Stored` with the frames ``lines``,
``measures``, ``runs``, ``teachers``, ``groups``, ``plans``, ``people(run)``. Change a selection in a callback only:
``state.choose(method="ptq")``. A control of the page's own takes ``**state.IN_LINK``, so that it stands in the address;
``ui.section`` heads a part, ``ui.side_by_side`` gives two places that wrap on a narrow page. Numbers and
sentences come from `cfq_core.report.fmt`. Nothing here computes; no page touches the URL, caches, or reads a store.

Tests: ``tests/dashboard/test_pages.py`` finds every page and opens it on {gallery, own study, nothing}; what is special
to a page goes to ``tests/dashboard/test_NAME.py``, with the fixtures ``on_store`` and ``open_page(name, **query)``.
"""
