"""NiceGUI: a page to look at cameras and their counts, a client of serve's API."""

from pipeline.adapters.dashboard.pages import dashboard_app

__all__ = ["dashboard_app"]
