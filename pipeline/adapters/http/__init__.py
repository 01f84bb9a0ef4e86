"""Litestar and uvicorn: the API of serve, its live stream, its OpenAPI description, and the server they run in."""

from pipeline.adapters.http.api import Metered, http_app
from pipeline.adapters.http.problems import Problem
from pipeline.adapters.http.server import run_http

__all__ = ["Metered", "Problem", "http_app", "run_http"]
