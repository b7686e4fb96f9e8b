"""Several runs beside one another: listed, and compared in one picture."""
