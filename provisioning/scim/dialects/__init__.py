"""Floor `provisioning`, room `scim.dialects`: what do identity providers really send, and how is it read?

The tolerance layer: what is not plain SCIM becomes so here, and each departure is noted by a named rule. `rules` is the
table, `resource` the bodies of POST and PUT and every value of a PATCH, `members` who is named in a group, `strict`
what a strict connection refuses instead. What is not understood is left as it is, so that `parsing` or `patch` refuses
it with a precise error: nothing is guessed.
"""
