"""What each choice about the data is worth: models trained with one left out at a time."""
