"""Work on more rows than one commit should hold: done in steps, with room for others between them."""
