"""Traffic with exact truth: SUMO does the traffic, this room does the camera.

journeys   who went where, knot by knot, and how that is kept in a small file
scenario   a place: its roads, its camera, its lines and zones;  scenarios: the places there are
camera     a pinhole camera;  view: what it sees of a moment, and what hides what
truth      all that is true of a recording, by trace (one user's way), passages, occupied, queues and frames
noise      what a detector would make of a view;  sightings: the detections of a simulated camera, by its address
"""
