"""The HTML report in a browser: for its tests, and for its picture in the README."""
