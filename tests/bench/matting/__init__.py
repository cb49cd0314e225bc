"""Pictures whose alpha is known exactly, what is measured of a cutout of them, and who is compared."""
