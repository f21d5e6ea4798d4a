"""What an auditor takes along: it knows nothing of the floors. Does an export match its seals?"""
