"""Optuna's dashboard on a study."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from typer.testing import CliRunner

from attenergy.search.cli.app import app
from attenergy.search.display.dashboard import (
    DashboardServer,
    NoDashboard,
    dashboard,
    storage_url,
)
from attenergy.search.results.study_folder import read_study
from attenergy.search.storage.database import FORMAT, READY, close, create


@pytest.mark.long
def test_the_dashboard_serves_the_study(finished_study: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    with dashboard(read_study(finished_study), port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}/api/studies"
            with urllib.request.urlopen(address, timeout=120) as answer:
                assert answer.status == 200
                assert '"study_name": "tiny"' in answer.read().decode()
        finally:
            server.shutdown()
            thread.join()


def test_the_page_is_that_of_the_study_that_was_named(
    finished_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna_dashboard")
    folder = shutil.copytree(finished_study, tmp_path / "copy")
    storage = RDBStorage(f"sqlite:///{folder / 'study.db'}")
    create(storage, "another", [StudyDirection.MAXIMIZE]).set_user_attr(READY, FORMAT)
    create(storage, "tiny@2", [StudyDirection.MAXIMIZE]).set_user_attr(READY, FORMAT)
    create(storage, "tiny@3", [StudyDirection.MAXIMIZE])  # its making was cut short
    page = f"/dashboard/studies/{storage.get_study_id_from_name('tiny@2')}"
    close(storage)
    opened = list[str]()
    monkeypatch.setattr(DashboardServer, "serve_forever", lambda _: None)
    monkeypatch.setattr("webbrowser.open", opened.append)
    result = CliRunner().invoke(app, ["dashboard", str(folder), "-p", "0", "--open"])
    assert opened[0].endswith(page), result.output
    assert f"{opened[0]} shows {folder}" in result.stderr


def test_the_root_leads_to_the_page_of_the_study(finished_study: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    with dashboard(read_study(finished_study), port=0) as server:
        answers = list[tuple[str, dict[str, str]]]()
        application = server.get_app()
        assert application is not None
        environment = {"PATH_INFO": "/", "REQUEST_METHOD": "GET"}
        body = application(environment, lambda status, fields: answers.append((status, fields)))
        assert list(body) == []
    status, fields = answers[0]
    assert status.startswith("302")
    assert dict(fields)["Location"] == server.page
    assert server.page.startswith("/dashboard/studies/")


def test_a_storage_without_the_study_is_refused(finished_study: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    url = f"sqlite:///{tmp_path / 'other.db'}"
    close(RDBStorage(url))
    with pytest.raises(NoDashboard, match=r"other\.db holds no study 'tiny'"):
        dashboard(read_study(finished_study), port=0, storage=url)


def test_a_study_without_a_database_is_refused(finished_study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_study, tmp_path / "copy")
    (folder / "study.db").unlink()
    with pytest.raises(NoDashboard, match=r"has no study\.db to show.*attenergy report copy"):
        storage_url(read_study(folder))


def test_a_password_that_was_not_kept_is_asked_for(finished_study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_study, tmp_path / "copy")
    plan = json.loads((folder / "plan.json").read_text())
    plan["storage"] = "postgresql+psycopg://me:***@host/studies"
    (folder / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(NoDashboard, match=r"me:\*\*\*@host/studies was noted without its password"):
        storage_url(read_study(folder))
    pytest.importorskip("optuna_dashboard")
    url = f"sqlite:///{folder / 'study.db'}"
    with dashboard(read_study(folder), port=0, storage=url) as server:
        assert server.server_port > 0


def test_missing_package_is_told_with_the_line_that_installs_it(
    finished_study: Path, monkeypatch: Any
) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    arguments = ["dashboard", "tiny", "--folder", str(finished_study.parent)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "pip install attenergy[dashboard]" in result.stderr


def test_a_taken_port_is_told_with_a_way_out(finished_study: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["dashboard", "tiny", "--folder", str(finished_study.parent), "--port", port]
        result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"cannot listen on 127.0.0.1:{port}: ")
