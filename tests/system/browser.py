"""A real browser, as a person has one: Debian's Chromium, driven by its own driver."""

import os
import shutil
import time
from contextlib import contextmanager

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_S = 30


@contextmanager
def browser(downloads, *, size=(1280, 800), dark=False):
    """A window of its own, with a profile of its own; what it downloads lies in `downloads`."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("a browser is asked for: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = program
    for word in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"):
        options.add_argument(word)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # root has none
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = Chrome(options=options, service=Service(driver))
    try:
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield window
    finally:
        window.quit()


def wait_for(window, condition):
    """What `condition` (JavaScript) gives, as soon as it is true."""
    return WebDriverWait(window, PATIENCE_S, 0.02).until(lambda w: w.execute_script(f"return {condition}"), condition)


def downloaded(folder, name):
    """The text of a download, once it is whole; it is taken away, so that the next one has its name."""
    for _ in range(PATIENCE_S * 50):
        path = folder / name
        if path.exists() and not list(folder.glob("*.crdownload")) and (text := path.read_text()):
            path.unlink()
            return text
        time.sleep(0.02)
    raise AssertionError(f"{name} was not downloaded; there is {sorted(p.name for p in folder.iterdir())}")
