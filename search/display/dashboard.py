"""The live dashboard of Optuna on a study's database."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.storages import RDBStorage

from attenergy.registry import AttenergyError
from attenergy.registry.files import open_regular
from attenergy.search.results.study_folder import Study
from attenergy.search.storage.database import newest_generation, problems_with, shown_url

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class NoDashboard(AttenergyError, ValueError):
    """The dashboard cannot be shown: its package, or the study's database, is missing."""

    topic = "storage"


class DashboardServer(WSGIServer):
    """Serves Optuna's dashboard.

    Attributes:
        page: path of the page of the study that was named; `/` leads there too.
    """

    page = "/"


def dashboard(
    study: Study, *, host: str = "127.0.0.1", port: int = 8080, storage: str | None = None
) -> DashboardServer:
    """A server that shows the study; `serve_forever()` runs it, `server_close()` ends it.

    It reads the same database as a running search, so trials appear as they end. The database may
    hold other studies, and earlier generations of this one: `page` is that of the newest.

    Args:
        study: a search; a comparison has no database.
        host: the address to listen on; the default is heard by this machine alone.
        port: 0 takes any free one (`server_port`).
        storage: URL of the study's storage, if its plan does not tell it whole.

    Raises:
        NoDashboard: optuna-dashboard is not installed, the study has no database, or that holds
            no study of its name.
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
        base = RDBStorage(url, skip_compatibility_check=True, skip_table_creation=True)
        number = newest_generation(base, name := getattr(study.plan, "study", study.folder.name))
        if number is None:
            raise NoDashboard(f"the storage {shown_url(url)} holds no study {name!r}")
        application = wsgi(base)
    page = f"/dashboard/studies/{number}"

    def answer(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environment.get("PATH_INFO") in ("", "/"):
            start("302 Found", [("Location", page), ("Content-Length", "0")])
            return []
        answered: Iterable[bytes] = application(environment, start)
        return answered

    server = make_server(host, port, answer, DashboardServer, _Quiet)
    server.page = page
    return server


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
