"""Parser of the space language: from the text of a space file to a ``Grammar``, with the place of every error."""
