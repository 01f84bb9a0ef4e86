"""What a simulated camera's pictures show: shapes, light and weather, worked out without any library of pictures.

`meshes` has what road users are built of, `light` what shines on them, `sketch` the polygons of one moment, in the
order they are painted. A painter (adapters/painter) makes pixels of it.
"""
