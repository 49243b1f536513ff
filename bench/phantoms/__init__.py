"""What the phantom methods find on digital objects with known answers."""
