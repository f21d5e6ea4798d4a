"""First floor, a face. What can whoever runs Rollcall do with what is there, from the command line?"""
