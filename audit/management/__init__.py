"""Ground floor, a face. What can whoever builds Rollcall have written for them?"""
