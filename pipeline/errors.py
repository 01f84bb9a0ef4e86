"""Every error gantry raises on purpose, named by what the caller must do.

    GantryError
    ├── Retry     the same call may work later: wait (with backoff) and call again
    ├── Revoked   the work moved to another owner: drop it, the new owner repeats it
    ├── Poison    this one input is bad and always will be: dead-letter it, go on with the next
    └── Fatal     nothing here will work until a person mends it: say so in one line, exit non-zero, commit nothing

A message says what is wrong, where, and what to do. It never holds a secret.
"""


class GantryError(Exception):
    """The root; catch it only where a process ends."""


class Retry(GantryError):  # noqa: N818 - named by what the caller must do
    """The same call may work later."""


class Revoked(GantryError):  # noqa: N818
    """The work moved to another owner, who repeats it."""


class Poison(GantryError):  # noqa: N818
    """This input is bad and always will be."""


class Fatal(GantryError):  # noqa: N818
    """A person must mend this before anything works."""
