"""How well gantry counts, against peers on the very same detections: `make accuracy`.

streams        what is watched: a camera's detections with its truth, and how it is thinned
clips, roads   where streams come from: real footage with counts by eye; pipeline.simulate
contestant     one who counts, and with which settings
ours, line_zone, object_counter    how each is run;  roster: all of them;  peers: where their packages are
plain          whether each is called as it should be
runs           one contestant over one stream at one frame rate, kept in a file
figures        runs against truth, pooled, with their ranges
suite          the plan and the measuring;  table: what is printed
"""
