"""What must not differ when a study is resumed: settings, data, space, and the code of the caller's functions."""
