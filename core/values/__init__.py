"""Values: numbers, texts, e-mail addresses, phone numbers; how they are normalized and compared."""
