"""Floor `provisioning`, room `scim.parsing`: what does a body say, once it is proved to be plain SCIM?

`body` turns bytes into a JSON object, `values` checks one value against its attribute, `members` reads who is in a
group, `normal` gives a whole resource its canonical form, `change` turns that into the frozen words of `changes`.
"""
