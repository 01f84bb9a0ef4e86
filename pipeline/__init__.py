"""gantry: traffic cameras become traffic data people can trust."""
