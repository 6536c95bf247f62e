"""What is measured: a module for each part, with a function `measure`."""
