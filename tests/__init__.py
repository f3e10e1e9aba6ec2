"""The tests mirror src/fairlead; lab/ is the library of pretend machines they share."""
