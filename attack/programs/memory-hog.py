"""Takes memory and touches it until something says no."""
hoard = []
while True:
    hoard.append(bytearray(b"x") * (16 * 1024 * 1024))
