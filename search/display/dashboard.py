"""The live dashboard of Optuna on a study's database."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from attenergy.registry import AttenergyError
from attenergy.registry.files import open_regular
from attenergy.search.results.study_folder import Study
from attenergy.search.storage.database import problems_with, shown_url


class NoDashboard(AttenergyError, ValueError):
    """The dashboard cannot be shown: its package, or the study's database, is missing."""


def dashboard(
    study: Study, *, host: str = "127.0.0.1", port: int = 8080, storage: str | None = None
) -> WSGIServer:
    """A server that shows the study; `serve_forever()` runs it, `server_close()` ends it.

    It reads the same database as a running search, so trials appear as they end.

    Args:
        study: a search; a comparison has no database.
        host: the address to listen on; the default is heard by this machine alone.
        port: 0 takes any free one (`server_port`).
        storage: URL of the study's storage, if its plan does not tell it whole.

    Raises:
        NoDashboard: optuna-dashboard is not installed, or the study has no database.
        StorageProblem: the database cannot be reached or read.
        OSError: the port is taken.
    """
    try:
        wsgi = import_module("optuna_dashboard").wsgi
    except ImportError as error:
        message = "the dashboard needs optuna-dashboard: `pip install attenergy[dashboard]`"
        raise NoDashboard(message) from error
    url = storage or storage_url(study)
    with problems_with(url):
        application = wsgi(url)
    return make_server(host, port, application, handler_class=_Quiet)


def storage_url(study: Study) -> str:
    """Where the study's trials are, if that is the file in its folder.

    Raises:
        NoDashboard: there is none.
    """
    url = getattr(study.plan, "storage", None)
    if url is not None:
        # Somebody else's plan may name any server: a command connects to what it is told alone.
        shown = shown_url(url)
        note = "was noted without its password" if "***" in str(url) else "is not in its folder"
        raise NoDashboard(f"the storage {shown} {note}; give it as --storage URL")
    path: Path = study.folder / "study.db"
    try:
        open_regular(path, within=study.folder).close()
    except FileNotFoundError:
        raise NoDashboard(
            f"{study.folder} has no study.db to show: comparisons have none; "
            f"`attenergy report {study.folder.name}` writes a page instead"
        ) from None
    except OSError as error:
        raise NoDashboard(f"{path}: {error.strerror}") from error
    return f"sqlite:///{path.resolve()}"


class _Quiet(WSGIRequestHandler):
    """Requests are not printed."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
