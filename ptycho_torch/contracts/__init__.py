"""Other programs' vocabularies: their names, their configurations, their files. Nothing below imports them."""
