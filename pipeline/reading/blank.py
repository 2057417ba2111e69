"""Characters that say nothing: a text of these alone is empty."""

# What counts as nothing when all of a text is made of it, white space aside.
INVISIBLE = "\0\ufeff\u200b\u200c\u200d\u2060"
BLANK = INVISIBLE + " \t\r\n\v\f\x1c\x1d\x1e\x1f\x85\xa0\u2028\u2029\u3000"
