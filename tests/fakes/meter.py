"""A meter that remembers what it was told."""

from collections import Counter


class Meter:
    """`ports.Meter`: `counts[name]` sums all labels, `counts[name, value]` one label value."""

    def __init__(self):
        self.counts = Counter()
        self.gauges = {}
        self.times = {}

    def count(self, name, amount=1, **labels):
        self.counts[name] += amount
        for value in labels.values():
            self.counts[name, value] += amount

    def gauge(self, name, value, **labels):
        self.gauges[name, *labels.values()] = value

    def seconds(self, name, value, **labels):
        self.times.setdefault(name, []).append(value)
