"""Which release this is: the image holds the package without what an installation notes about it."""

VERSION = "0.2.0"
