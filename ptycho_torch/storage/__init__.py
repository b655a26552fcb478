"""Files written whole and read safely: one definition of damage, one set of limits."""
