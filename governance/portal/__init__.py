"""Top floor, a face. What may I do with what is mine? The owner's pages, and how everybody gets in."""
