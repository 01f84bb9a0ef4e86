"""The noise of simulated cameras, fitted to what YOLOv8n really gives: `python -m benchmarks.noise`.

look       what YOLOv8n and a better eye saw in real clips
truth      the better eye's boxes become tracks that are taken for true
judge      what became of every true user and of every box
fit        the numbers of the model
__main__   all of it, and the figures of YOLOv8n and of the model side by side
"""
