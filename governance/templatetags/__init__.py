"""Top floor. How do pages say what they show: states, instants, numbers and verbs?"""
