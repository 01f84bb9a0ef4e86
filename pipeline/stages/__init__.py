"""One asynchronous function per process."""
