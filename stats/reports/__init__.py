"""Reports: files of what was spent, and journals for accounting."""
