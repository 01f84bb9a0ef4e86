"""A page on which a person marks who passes a line of a video: offline, in any browser, nothing to install.

folder     the folder that holds it: whole or not there, and never in the place of somebody's marks
slit_scan  the picture of a line over time
page.html, page.css, marks.js, strip.js, picture.js, page.js: the page itself
"""

from pipeline.adapters.truth_page.folder import TruthFolder

__all__ = ["TruthFolder"]
