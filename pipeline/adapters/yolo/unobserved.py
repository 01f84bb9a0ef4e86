"""OpenVINO tells nobody that it is used; to be imported before it.

When it is imported it tells its maker's analytics so, from a process it forks, and writes an id into the user's home.
Where the package for that is not installed it does without; so here it is not.
"""

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # how Python says that a module cannot be imported
