"""Example strategies that come with signaldeck; each file stands alone and may be copied."""
