"""Every setting, section by section: its type, its default and what it means."""
