"""The fingerprint of a study: settings, data, space and code that must be equal to resume it."""
