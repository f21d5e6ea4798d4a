"""Top floor, a face. How do programs ask what is? The read-only REST API, and the probes of whoever runs us."""
