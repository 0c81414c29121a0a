"""Single values: how numbers, texts, e-mail addresses and phone numbers are written and compared."""
