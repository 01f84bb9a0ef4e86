"""One file per foreign library; its words stop at that door."""
