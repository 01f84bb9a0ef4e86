"""Runs against truth: what was found, missed, counted twice, the wrong way or out of nothing, and how sure that is.

passages   the one value both sides become;  run, truth, hand_count: the readers
belonging  whether a run and a truth speak of the same thing
matching   events to passages, one to one
intervals  how sure a figure is;  scores: the figures of one set of passages;  volumes: windows and GEH
movements  from which line to which;  traps: speeds between two lines;  evaluation: all of it, as one value
boxes      tracks as boxes;  hota: how well they are followed
timeline   a picture of one line;  page: everything for people, in one file
"""
