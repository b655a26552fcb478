"""Pictures of arrays: images with a colour bar and a scale bar, figures as PNG; no physics, no torch."""
