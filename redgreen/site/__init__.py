"""A static site of the sealed folders: plain pages that open from a disk, made again from the same evidence."""
