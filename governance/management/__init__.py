"""Top floor, a face. What can whoever runs Rollcall do from the command line?"""
