"""Top floor, a face. Is the roll complete, and what waits for me? The pages of security staff and auditors."""
