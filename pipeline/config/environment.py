"""GANTRY_<SECTION>_<KEY>: settings from the environment, which win over the file.

Unknown names of our sections are mistakes, as unknown keys of the file are. A secret that is given as a variable
stays where it is: the setting becomes a reference to that variable.
"""

import re
from collections.abc import Mapping

from pipeline.config.checks import BAD, Checker, Path, from_text, is_secret, leaves, replaced
from pipeline.config.reading import Mistake, did_you_mean
from pipeline.config.settings import Settings
from pipeline.core.credentials import is_reference

ORIGIN = "environment"

# Kubernetes puts GANTRY_SERVE_PORT=tcp://10.0.0.1:8080 and the like into every pod beside a Service gantry-serve.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP|SCTP)(_.*)?)?)")


def variables() -> dict[str, Path]:
    """Every variable that is understood, and the setting it stands for."""
    return {"GANTRY_" + "_".join(map(str, path)).upper(): path for path in leaves(Settings)}


def override(settings: Settings, environ: Mapping[str, str]) -> tuple[Settings, list[Mistake]]:
    """The settings as the environment wants them, and what is wrong with it."""
    known, fields = variables(), leaves(Settings)
    sections = tuple(f"GANTRY_{name.upper()}_" for name in Settings.__struct_fields__)
    checker = Checker(ORIGIN)
    for name, text in sorted(environ.items()):
        if not name.startswith(sections) or _is_service_link(name, text, name in known):
            continue
        if name not in known:
            section = next(section for section in sections if name.startswith(section))
            words = {other.removeprefix(section) for other in known if other.startswith(section)}
            near = did_you_mean(name.removeprefix(section), sorted(words)).replace("mean ", f"mean {section}")
            checker.say(0, (name,), f"is no known setting{near if 'did you mean' in near else ''}")
            continue
        field = fields[known[name]]
        if is_secret(field) and not is_reference(text):
            text = f"${{env:{name}}}"  # noqa: PLW2901 - the secret itself is not looked at any further
        value = checker.field(from_text(text, field.type), field, (name,))
        if value is not BAD:
            settings = replaced(settings, known[name], value)
    return settings, checker.mistakes


def _is_service_link(name: str, text: str, known: bool) -> bool:
    if _SERVICE_LINK.fullmatch(name) is None:
        return False
    return "://" in text or not known
