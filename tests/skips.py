"""What was not run, and how to get it; with GANTRY_NO_SKIPS=1 (as in CI) a skip is a failure, but for accelerators."""

import os
from collections import Counter

ALLOWED = "accelerator"
"""A reason to skip that holds in CI too: no machine there has one."""


def _reasons(reporter):
    return Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reporter.stats.get("skipped", []))


def pytest_terminal_summary(terminalreporter):
    if reasons := _reasons(terminalreporter):
        terminalreporter.section("not run here, and how to get it")
        for reason, times in reasons.most_common():
            terminalreporter.write_line(f"{times:4d} x {reason}")


def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    forbidden = [r for r in _reasons(reporter) if ALLOWED not in r] if reporter else []
    if os.environ.get("GANTRY_NO_SKIPS") and forbidden and session.exitstatus == 0:
        reporter.write_line("\nnothing may be skipped here (GANTRY_NO_SKIPS=1), but something was", red=True)
        session.exitstatus = 1
