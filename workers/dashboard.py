"""The process `dashboard`: a page that shows what serve tells."""

from pipeline.adapters.dashboard import dashboard_app
from pipeline.adapters.http import run_http
from pipeline.config import Settings
from workers.process import Process, run


def main(settings: Settings) -> int:
    """Run until a signal says stop; the exit code."""
    return run("dashboard", _dashboard, settings)


async def _dashboard(process: Process) -> None:
    wanted, serve = process.settings.dashboard, process.settings.serve

    def listening(port: int) -> None:
        host = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
        process.at_work = True
        process.log.info("the page is at http://%s:%d", host, port)

    app = dashboard_app(address=wanted.serve, port=serve.port, meter=process.meter)
    await run_http(app, wanted.host, wanted.port, process.stop, listening=listening, section="dashboard", sockets=True)
