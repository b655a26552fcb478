"""Composed configurations: the one typed schema behind Hydra's grammar, one file a step; nothing else imports Hydra."""
